//! Given/when/then for deciders.
//!
//! ```ignore
//! Spec::<WorkflowDecider>::given([started()]).when(command()).then([step_started()]);
//! ```

use std::fmt::Debug;

use crate::Decider;

/// A decider with a history.
pub struct Spec<D: Decider> {
    state: D::State,
}

impl<D: Decider> Debug for Spec<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec").finish_non_exhaustive()
    }
}

/// The answer to one command.
pub struct Outcome<D: Decider> {
    result: Result<Vec<D::Event>, D::Rejection>,
    state: D::State,
}

impl<D: Decider> Debug for Outcome<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome").finish_non_exhaustive()
    }
}

impl<D: Decider> Spec<D> {
    pub fn given(history: impl IntoIterator<Item = D::Event>) -> Self {
        let state = history
            .into_iter()
            .fold(D::State::default(), |state, event| D::evolve(state, &event));
        Self { state }
    }

    pub fn when(self, command: D::Command) -> Outcome<D> {
        Outcome {
            result: D::decide(&self.state, command),
            state: self.state,
        }
    }
}

impl<D> Outcome<D>
where
    D: Decider,
    D::Event: Debug + PartialEq,
    D::Rejection: Debug + PartialEq,
{
    /// # Panics
    /// When the events differ or the command was rejected.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) {
        let expected: Vec<_> = events.into_iter().collect();
        assert_eq!(self.result, Ok(expected));
    }

    /// # Panics
    /// When the command was accepted or rejected for another reason.
    #[track_caller]
    pub fn then_rejected(self, rejection: D::Rejection) {
        assert_eq!(self.result, Err(rejection));
    }

    /// Checks that the same command, given once more, yields nothing.
    ///
    /// # Panics
    /// When the first answer is a rejection or empty, or the second is not empty.
    #[track_caller]
    pub fn then_idempotent(self, again: D::Command) {
        let events = match self.result {
            Ok(events) => events,
            Err(rejection) => panic!("rejected: {rejection:?}"),
        };
        assert!(!events.is_empty(), "the first command yielded nothing");
        let state = events
            .iter()
            .fold(self.state, |state, event| D::evolve(state, event));
        assert_eq!(D::decide(&state, again), Ok(Vec::new()));
    }
}
