use crate::Recorded;

/// A pure state machine over one stream.
///
/// `decide` is idempotent: the same command against the state that already
/// holds its events yields none. Time, ids, verdicts and neighbours reach it
/// inside the command; it fetches nothing. Only `evolve` changes state.
pub trait Decider {
    type State: Default;
    type Command;
    type Event;
    /// What others are asked to do because of an event.
    type Request;
    /// Why a command cannot be followed.
    type Rejection;

    /// What follows from `command` given `state`.
    ///
    /// # Errors
    /// The rejection, when the command is not possible in this state.
    fn decide(
        state: &Self::State,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after `event`.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// The requests that follow from one recorded event, in order. A pure
    /// function of the event alone, so that whoever reads the stream again
    /// derives the same requests with the same ids.
    fn react(event: &Recorded<Self::Event>) -> Vec<Self::Request>;
}
