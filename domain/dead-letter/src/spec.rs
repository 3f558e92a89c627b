use domain_kernel::{Decider, EventId};

use crate::{
    Action, DeadLetterCommand, DeadLetterDecider, DeadLetterEvent, DeadLetterRejection,
    DeadLetterState, Decided, Letter,
};

fn command(occurrence: u32, action: Action) -> DeadLetterCommand {
    DeadLetterCommand {
        letter: Letter {
            letter_id: EventId::derive(&["letter"]),
            consumer: "sync".to_owned(),
            topic: "mesh.effects".to_owned(),
            partition: 2,
            offset: 17,
        },
        occurrence,
        operator: "ada".to_owned(),
        action,
    }
}

fn redrive(occurrence: u32) -> DeadLetterCommand {
    command(occurrence, Action::Redrive { note: None })
}

fn discard(occurrence: u32) -> DeadLetterCommand {
    let reason = "a test record".to_owned();
    command(occurrence, Action::Discard { reason })
}

/// The state after following the commands one after the other.
fn after(commands: impl IntoIterator<Item = DeadLetterCommand>) -> DeadLetterState {
    let mut state = DeadLetterState::default();
    for command in commands {
        for event in DeadLetterDecider::decide(&state, command).unwrap() {
            state = DeadLetterDecider::evolve(state, &event);
        }
    }
    state
}

fn names(events: &[DeadLetterEvent]) -> Vec<&'static str> {
    let name = |event: &DeadLetterEvent| match event {
        DeadLetterEvent::Redriven(_) => "redriven",
        DeadLetterEvent::Discarded(_) => "discarded",
    };
    events.iter().map(name).collect()
}

#[test]
fn every_command_is_idempotent() {
    for once in [redrive(1), discard(1)] {
        let state = after([once.clone()]);
        assert_eq!(DeadLetterDecider::decide(&state, once), Ok(Vec::new()));
    }
}

#[test]
fn an_open_letter_is_redriven_or_discarded() {
    let none = DeadLetterState::default();
    assert!(none.is_open(1));
    let redriven = DeadLetterDecider::decide(&none, redrive(1)).unwrap();
    assert_eq!(names(&redriven), ["redriven"]);
    let discarded = DeadLetterDecider::decide(&none, discard(1)).unwrap();
    assert_eq!(names(&discarded), ["discarded"]);
}

#[test]
fn what_was_decided_stands() {
    let last = Decided::Discarded;
    assert_eq!(
        DeadLetterDecider::decide(&after([discard(1)]), redrive(1)),
        Err(DeadLetterRejection::NotOpen { last })
    );
}

#[test]
fn a_record_that_is_given_up_again_is_open_again() {
    let state = after([redrive(1)]);
    assert!(!state.is_open(1));
    assert!(state.is_open(2));
    let again = after([redrive(1), redrive(2)]);
    assert_eq!((again.redrives, again.answered), (2, 2));
    let discarded = DeadLetterDecider::decide(&again, discard(3)).unwrap();
    assert_eq!(names(&discarded), ["discarded"]);
}
