//! What operators decide about records that a consumer gave up. The letter itself
//! is no event: it is the record as it was, with why. What is decided about it is.

mod command;
mod decide;
mod error;
mod event;
mod react;
#[cfg(test)]
mod spec;
mod state;

pub use command::{Action, DeadLetterCommand};
pub use decide::DeadLetterDecider;
pub use error::DeadLetterRejection;
pub use event::{DeadLetterDiscarded, DeadLetterEvent, DeadLetterRedriven, Letter};
pub use react::NoRequest;
pub use state::{DeadLetterState, Decided};
