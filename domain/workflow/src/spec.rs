mod samples;

use domain_effect::EffectRequest;
use domain_execution::ExecutionRequest;
use domain_kernel::{CorrelationId, Decider, EventId, Json, Metadata, Recorded, TenantId};

use crate::*;
use samples::*;

#[test]
fn a_run_starts_with_its_first_step() {
    let events = history([start(to("triage"))]);
    assert!(matches!(&events[0], WorkflowEvent::Started(started)
        if started.definition == definition() && started.trigger == trigger()));
    assert_eq!(events[1..], [step_started("triage", 100)]);
}

#[test]
fn a_finished_step_leads_to_the_next_and_the_last_ends_the_run() {
    given([start(to("triage"))])
        .when(succeed("triage", to("crm")))
        .then([step_succeeded("triage"), step_started("crm", 200)]);
    given(run_to_notify()).when(succeed("notify", end())).then([
        step_succeeded("notify"),
        WorkflowEvent::Succeeded(WorkflowSucceeded {
            workflow_id: workflow_id(),
        }),
    ]);
}

#[test]
fn steps_whose_condition_is_false_are_skipped_on_record() {
    let next = Next {
        skipped: vec!["crm".to_owned()],
        ..to("notify")
    };
    let skipped = WorkflowEvent::StepSucceeded(StepSucceeded {
        workflow_id: workflow_id(),
        step: "crm".to_owned(),
        output: Json::from_text("null"),
        skipped: true,
        compensation: None,
    });
    given([start(to("triage"))])
        .when(succeed("triage", next.clone()))
        .then([
            step_succeeded("triage"),
            skipped,
            step_started("notify", 300),
        ]);
    // A skipped step did nothing, so nothing undoes it.
    given([start(to("triage")), succeed("triage", next)])
        .when(fail("notify"))
        .then([
            step_failed("notify", "rejected", "no", false),
            undoing("triage", 1, 0),
        ]);
}

#[test]
fn a_failed_step_is_followed_by_compensation_in_reverse_one_at_a_time() {
    given(run_to_notify()).when(fail("notify")).then([
        step_failed("notify", "rejected", "no", false),
        undoing("crm", 1, 0),
    ]);
    let failed = with(run_to_notify(), &[fail("notify")]);
    given(failed.clone())
        .when(undone("crm", 1))
        .then([step_undone("crm"), undoing("triage", 1, 0)]);
    given(with(failed, &[undone("crm", 1)]))
        .when(undone("triage", 1))
        .then([step_undone("triage"), ended_undone("notify", "no")]);
}

#[test]
fn a_run_whose_first_step_fails_has_nothing_to_undo() {
    given([start(to("triage"))]).when(fail("triage")).then([
        step_failed("triage", "rejected", "no", false),
        ended_undone("triage", "no"),
    ]);
}

#[test]
fn a_mapping_that_cannot_be_evaluated_fails_its_step() {
    let broken = Next {
        skipped: Vec::new(),
        then: Then::Broken {
            step: "crm".to_owned(),
            reason: "no such key: order".to_owned(),
        },
    };
    given([start(to("triage"))])
        .when(succeed("triage", broken.clone()))
        .then([
            step_succeeded("triage"),
            step_failed("crm", "mapping", "no such key: order", false),
            undoing("triage", 1, 0),
        ]);
    let events = history([start(broken)]);
    assert_eq!(
        events[1..],
        [
            step_failed("crm", "mapping", "no such key: order", false),
            ended_undone("crm", "no such key: order"),
        ]
    );
}

#[test]
fn a_step_that_could_not_be_undone_stops_the_run_at_once() {
    let broken = Plan::Broken {
        reason: "no such key".to_owned(),
    };
    let events = history([
        start(to("triage")),
        succeed_with("triage", broken, to("crm")),
    ]);
    assert_eq!(
        events[3..],
        [parked(
            "triage",
            "its compensation cannot be resolved: no such key"
        )]
    );
}

#[test]
fn a_step_past_its_deadline_fails_and_its_request_is_called_off() {
    given(run_to_notify()).when(tick(299)).then([]);
    given(run_to_notify()).when(tick(300)).then([
        step_failed("notify", "deadline", "no answer before the deadline", true),
        undoing("crm", 1, 300),
    ]);
}

#[test]
fn the_run_wakes_at_the_earliest_deadline() {
    assert_eq!(WorkflowState::default().wake_at(), None);
    assert_eq!(
        state([start(to("triage"))]).wake_at(),
        Some(NOW.plus_millis(100))
    );
    let failed = with(run_to_notify(), &[fail("notify")]);
    assert_eq!(state(failed.clone()).wake_at(), Some(NOW.plus_millis(50)));
    let over = with(failed, &[undone("crm", 1), undone("triage", 1)]);
    assert_eq!(state(over).wake_at(), None);
}

#[test]
fn a_failed_compensation_is_tried_again_and_then_parked() {
    let failed = with(run_to_notify(), &[fail("notify")]);
    given(failed.clone())
        .when(not_undone("crm", 1))
        .then([undoing("crm", 2, 0)]);
    given(failed.clone())
        .when(tick(50))
        .then([undoing("crm", 2, 50)]);
    let again = with(failed, &[not_undone("crm", 1)]);
    given(again.clone())
        .when(not_undone("crm", 2))
        .then([parked("crm", "it was not undone in 2 attempts: down")]);
    given(again.clone()).when(tick(50)).then([parked(
        "crm",
        "it was not undone in 2 attempts: no answer before the deadline",
    )]);
    // The first attempt's failure, heard again, says nothing about the second.
    given(again).when(not_undone("crm", 1)).then([]);
}

#[test]
fn a_late_success_of_an_earlier_attempt_undoes_the_step() {
    let again = with(run_to_notify(), &[fail("notify"), not_undone("crm", 1)]);
    given(again.clone())
        .when(undone("crm", 1))
        .then([step_undone("crm"), undoing("triage", 1, 0)]);
    // The second attempt's success is then no news.
    given(with(again.clone(), &[undone("crm", 1)]))
        .when(undone("crm", 2))
        .then([]);
    // A parked run notes it and stays with its operator.
    given(with(again, &[not_undone("crm", 2)]))
        .when(undone("crm", 2))
        .then([step_undone("crm")]);
}

#[test]
fn a_step_given_up_but_done_after_all_is_undone() {
    let while_unwinding = with(run_to_notify(), &[tick(300)]);
    given(while_unwinding.clone())
        .when(succeed("notify", end()))
        .then([step_succeeded("notify")]);
    // It is undone before those that came before it.
    given(with(while_unwinding.clone(), &[succeed("notify", end())]))
        .when(undone("crm", 1))
        .then([step_undone("crm"), undoing("notify", 1, 0)]);

    let over = with(while_unwinding, &[undone("crm", 1), undone("triage", 1)]);
    given(over.clone())
        .when(succeed("notify", end()))
        .then([step_succeeded("notify"), undoing("notify", 1, 0)]);
    // The run had ended as compensated already and does not end twice.
    given(with(over.clone(), &[succeed("notify", end())]))
        .when(undone("notify", 1))
        .then([step_undone("notify")]);
    given(over).when(fail("notify")).then([]);
}

#[test]
fn a_step_done_late_is_undone_though_the_run_is_parked() {
    let parked_run = with(
        run_to_notify(),
        &[tick(300), not_undone("crm", 1), not_undone("crm", 2)],
    );
    given(parked_run.clone())
        .when(succeed("notify", end()))
        .then([step_succeeded("notify"), undoing("notify", 1, 0)]);
    given(with(parked_run, &[succeed("notify", end())]))
        .when(undone("notify", 1))
        .then([step_undone("notify")]);
}

#[test]
fn answers_to_questions_nobody_asked_are_rejected() {
    let not_asked = |step: &str| WorkflowRejection::NotAsked {
        step: step.to_owned(),
    };
    given([])
        .when(succeed("triage", end()))
        .then_rejected(WorkflowRejection::NotStarted);
    given([start(to("triage"))])
        .when(fail("crm"))
        .then_rejected(not_asked("crm"));
    given([start(to("triage"))])
        .when(undone("triage", 1))
        .then_rejected(not_asked("triage"));
    given(with(run_to_notify(), &[fail("notify")]))
        .when(undone("crm", 2))
        .then_rejected(not_asked("crm"));
    given([start(to("triage"))])
        .when(succeed("triage", to("nowhere")))
        .then_rejected(WorkflowRejection::UnknownStep {
            step: "nowhere".to_owned(),
        });
}

#[test]
fn every_command_is_idempotent() {
    given([])
        .when(start(to("triage")))
        .then_idempotent(start(to("triage")));
    given([start(to("triage"))])
        .when(succeed("triage", to("crm")))
        .then_idempotent(succeed("triage", to("crm")));
    given(run_to_notify())
        .when(succeed("notify", end()))
        .then_idempotent(succeed("notify", end()));
    given(run_to_notify())
        .when(fail("notify"))
        .then_idempotent(fail("notify"));
    given(run_to_notify())
        .when(tick(300))
        .then_idempotent(tick(300));
    let failed = with(run_to_notify(), &[fail("notify")]);
    given(failed.clone())
        .when(undone("crm", 1))
        .then_idempotent(undone("crm", 1));
    given(failed.clone())
        .when(not_undone("crm", 1))
        .then_idempotent(not_undone("crm", 1));
    given(with(failed.clone(), &[not_undone("crm", 1)]))
        .when(not_undone("crm", 2))
        .then_idempotent(not_undone("crm", 2));
    given(failed).when(tick(50)).then_idempotent(tick(50));
    given(with(run_to_notify(), &[tick(300)]))
        .when(succeed("notify", end()))
        .then_idempotent(succeed("notify", end()));
}

fn recorded(event: WorkflowEvent) -> Recorded<WorkflowEvent> {
    Recorded {
        meta: Metadata {
            id: EventId::derive(&["e"]),
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::derive(&["k"]),
            causation: None,
            stream: workflow_id().to_string(),
            version: 1,
            at: NOW,
            source: "/agentmesh/workflow".to_owned(),
            traceparent: None,
            actor: None,
        },
        event,
    }
}

#[test]
fn requests_follow_from_events_under_the_ids_that_answers_carry() {
    let requests = |event| WorkflowDecider::react(&recorded(event));
    match &requests(step_started("triage", 100))[..] {
        [WorkflowRequest::Execution(ExecutionRequest::Requested(request))] => {
            assert_eq!(
                RequestId::Execution(request.execution_id),
                asked("triage", None)
            );
            assert!(!request.compensation);
            assert_eq!(request.deadline, NOW.plus_millis(100));
        }
        other => panic!("{other:?}"),
    }
    match &requests(undoing("crm", 2, 0))[..] {
        [WorkflowRequest::Effect(EffectRequest::Requested(request))] => {
            assert_eq!(RequestId::Effect(request.effect_id), asked("crm", Some(2)));
            assert_ne!(asked("crm", Some(1)), asked("crm", Some(2)));
            assert!(request.compensation);
        }
        other => panic!("{other:?}"),
    }
    match &requests(step_failed("notify", "deadline", "late", true))[..] {
        [WorkflowRequest::Effect(EffectRequest::Cancelled(cancelled))] => {
            assert_eq!(
                RequestId::Effect(cancelled.effect_id),
                asked("notify", None)
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(requests(step_failed("notify", "rejected", "no", false)).is_empty());
    assert!(requests(step_undone("crm")).is_empty());
}

#[test]
fn a_definition_that_cannot_be_run_says_where() {
    let broken = |change: fn(&mut Definition)| {
        let mut definition = definition();
        change(&mut definition);
        definition.check().unwrap_err().to_string()
    };
    assert_eq!(definition().check(), Ok(()));
    assert_eq!(broken(|d| d.name.clear()), "name is empty");
    assert_eq!(
        broken(|d| d.steps.clear()),
        "a workflow has 1 to 64 steps, not 0"
    );
    assert_eq!(
        broken(|d| d.steps[1].name = "triage".to_owned()),
        "two steps are named triage"
    );
    assert!(broken(|d| d.steps[1].name = "1st step".to_owned()).contains("1st step"));
    assert!(broken(|d| d.steps[2].deadline_ms = 0).starts_with("steps.notify.deadline_ms"));
    let places: Vec<String> = definition()
        .expressions()
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert!(places.contains(&"steps.crm.compensate.effect.external_id".to_owned()));
}
