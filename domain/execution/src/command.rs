use domain_kernel::{ContextId, Json};

use crate::ExecutionRequested;

/// What the agents role learned about one execution. Every command carries the
/// request, so that the first event of a stream needs no earlier state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionCommand {
    pub request: ExecutionRequested,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The agent is about to be called for the `attempt`-th time, counted from 1.
    Start {
        attempt: u32,
        shown: Vec<ContextId>,
        arguments_sha256: String,
    },
    /// The tool answered.
    Succeed {
        output: Json,
        model: String,
        duration_ms: u64,
    },
    /// There is no answer and there will be none.
    Fail {
        code: String,
        reason: String,
        duration_ms: u64,
    },
}
