use domain_kernel::{Decider, Recorded};

use crate::{
    Action, DeadLetterCommand, DeadLetterDiscarded, DeadLetterEvent, DeadLetterRedriven,
    DeadLetterRejection, DeadLetterState, Decided, NoRequest, react,
};

/// Decides about one letter.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterDecider;

impl Decider for DeadLetterDecider {
    type State = DeadLetterState;
    type Command = DeadLetterCommand;
    type Event = DeadLetterEvent;
    type Request = NoRequest;
    type Rejection = DeadLetterRejection;

    fn decide(
        state: &DeadLetterState,
        command: DeadLetterCommand,
    ) -> Result<Vec<DeadLetterEvent>, DeadLetterRejection> {
        let wanted = match command.action {
            Action::Redrive { .. } => Decided::Redriven,
            Action::Discard { .. } => Decided::Discarded,
        };
        if !state.is_open(command.occurrence) {
            return match state.last {
                Some(last) if last != wanted => Err(DeadLetterRejection::NotOpen { last }),
                _ => Ok(Vec::new()),
            };
        }
        let DeadLetterCommand {
            letter,
            occurrence,
            operator,
            action,
        } = command;
        Ok(vec![match action {
            Action::Redrive { note } => DeadLetterEvent::Redriven(DeadLetterRedriven {
                letter,
                occurrence,
                operator,
                note,
            }),
            Action::Discard { reason } => DeadLetterEvent::Discarded(DeadLetterDiscarded {
                letter,
                occurrence,
                operator,
                reason,
            }),
        }])
    }

    fn evolve(state: DeadLetterState, event: &DeadLetterEvent) -> DeadLetterState {
        state.evolve(event)
    }

    fn react(event: &Recorded<DeadLetterEvent>) -> Vec<NoRequest> {
        react::react(event)
    }
}
