//! One run of one agent tool: asked for by the workflow, answered by the agents role.

mod event;

pub use event::{
    ExecutionCancelled, ExecutionEvent, ExecutionFailed, ExecutionRequest, ExecutionRequested,
    ExecutionStarted, ExecutionSucceeded,
};
