//! One run of one agent tool: asked for by the workflow, answered by the agents role.

mod command;
mod decide;
mod error;
mod event;
mod react;
#[cfg(test)]
mod spec;
mod state;

pub use command::{Action, ExecutionCommand};
pub use decide::ExecutionDecider;
pub use error::ExecutionRejection;
pub use event::{
    ExecutionCancelled, ExecutionEvent, ExecutionFailed, ExecutionRequest, ExecutionRequested,
    ExecutionStarted, ExecutionSucceeded, USER_STEP,
};
pub use react::NoRequest;
pub use state::{ExecutionState, Phase};
