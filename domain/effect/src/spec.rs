use domain_kernel::spec::Spec;
use domain_kernel::{Decider, EffectId, Json, Timestamp, WorkflowId};

use crate::{
    Action, EffectCommand, EffectDecider, EffectEvent, EffectRejection, EffectRequested, Evidence,
    Operation,
};

fn command(action: Action) -> EffectCommand {
    EffectCommand {
        request: EffectRequested {
            effect_id: EffectId::derive(&["e"]),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "crm".to_owned(),
            compensation: false,
            connector_id: "crm".to_owned(),
            operation: Operation::Upsert,
            object: "tickets".to_owned(),
            id_property: "agentmesh_id".to_owned(),
            external_id: "T-1".to_owned(),
            properties: Json::from_text("{}"),
            deadline: Timestamp::from_millis(1),
        },
        action,
    }
}

fn attempt(attempt: u32) -> EffectCommand {
    command(Action::Attempt { attempt })
}

fn confirm() -> EffectCommand {
    command(Action::Confirm {
        remote_id: "101".to_owned(),
        remote_version: "7".to_owned(),
        properties_sha256: "00".to_owned(),
    })
}

fn fail() -> EffectCommand {
    command(Action::Fail {
        code: "rejected".to_owned(),
        reason: "no such property".to_owned(),
    })
}

fn doubt() -> EffectCommand {
    command(Action::Doubt {
        reason: "timed out".to_owned(),
    })
}

fn reconcile(found: bool) -> EffectCommand {
    command(Action::Reconcile {
        found,
        remote_id: None,
    })
}

/// The events of following `commands` one after the other.
fn history(commands: impl IntoIterator<Item = EffectCommand>) -> Vec<EffectEvent> {
    let mut state = Default::default();
    let mut events = Vec::new();
    for command in commands {
        for event in EffectDecider::decide(&state, command).expect("the history is possible") {
            state = EffectDecider::evolve(state, &event);
            events.push(event);
        }
    }
    events
}

fn given(commands: impl IntoIterator<Item = EffectCommand>) -> Spec<EffectDecider> {
    Spec::given(history(commands))
}

#[test]
fn every_command_is_idempotent() {
    given([]).when(attempt(1)).then_idempotent(attempt(1));
    given([attempt(1)])
        .when(confirm())
        .then_idempotent(confirm());
    given([attempt(1)]).when(fail()).then_idempotent(fail());
    given([attempt(1)]).when(doubt()).then_idempotent(doubt());
    given([attempt(1), doubt()])
        .when(reconcile(true))
        .then_idempotent(reconcile(true));
}

#[test]
fn an_unknown_outcome_is_never_repeated_unread() {
    given([attempt(1), doubt()])
        .when(attempt(2))
        .then_rejected(EffectRejection::NotReconciled { attempt: 1 });
    given([attempt(1), doubt()])
        .when(fail())
        .then_rejected(EffectRejection::NotReconciled { attempt: 1 });
}

#[test]
fn after_reading_the_record_it_is_confirmed_or_tried_again() {
    let found = history([attempt(1), doubt(), reconcile(true), confirm()]);
    assert!(matches!(found.last(), Some(EffectEvent::Confirmed(_))));
    let repeated = history([attempt(1), doubt(), reconcile(false), attempt(2), confirm()]);
    assert_eq!(repeated.len(), 5);
}

#[test]
fn a_confirmation_says_what_it_rests_on() {
    let evidence = |commands: &[EffectCommand]| match history(commands.to_vec()).pop() {
        Some(EffectEvent::Confirmed(confirmed)) => confirmed.evidence,
        other => panic!("{other:?}"),
    };
    assert_eq!(evidence(&[attempt(1), confirm()]), Evidence::Answer);
    let found = [attempt(1), doubt(), reconcile(true), confirm()];
    assert_eq!(evidence(&found), Evidence::Reading);
    let repeated = [attempt(1), doubt(), reconcile(false), attempt(2), confirm()];
    assert_eq!(evidence(&repeated), Evidence::Answer);
}

#[test]
fn an_effect_can_be_refused_before_any_attempt() {
    given([]).when(fail()).then_idempotent(fail());
}

#[test]
fn nothing_is_confirmed_that_was_not_attempted() {
    given([])
        .when(confirm())
        .then_rejected(EffectRejection::NotAttempted);
}

#[test]
fn an_outcome_is_final() {
    given([attempt(1), confirm()])
        .when(fail())
        .then_rejected(EffectRejection::Ended {
            outcome: "confirmed",
        });
    given([attempt(1), fail()])
        .when(confirm())
        .then_rejected(EffectRejection::Ended { outcome: "failed" });
    given([attempt(1), fail()])
        .when(attempt(2))
        .then_rejected(EffectRejection::Ended { outcome: "failed" });
}

#[test]
fn attempts_are_counted_without_gaps() {
    given([attempt(1)])
        .when(attempt(3))
        .then_rejected(EffectRejection::AttemptOutOfOrder {
            attempt: 3,
            last: 1,
        });
}
