use domain_kernel::{Json, Timestamp, WorkflowId};

use crate::{Definition, PlannedCompensation, RequestId, ResolvedCall, TriggeredBy};

/// What a run is told. Expressions have been evaluated by whoever gives the
/// command, over the state the command is decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkflowCommand {
    Start(Start),
    /// The answer to a step: it is done.
    SucceedStep(SucceedStep),
    /// The answer to a step: it is not done and will not be.
    FailStep(FailStep),
    /// The answer to a compensation: the step is undone.
    SucceedCompensation {
        request: RequestId,
        step: String,
        now: Timestamp,
    },
    /// The answer to a compensation: the step is not undone.
    FailCompensation {
        request: RequestId,
        step: String,
        reason: String,
        now: Timestamp,
        /// How often a compensation is tried before the run is parked.
        attempts: u32,
    },
    /// Time has passed; whatever is overdue is given up.
    Tick {
        now: Timestamp,
        attempts: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub workflow_id: WorkflowId,
    pub definition_id: String,
    pub definition_digest: String,
    pub definition: Definition,
    pub trigger: TriggeredBy,
    pub next: Next,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SucceedStep {
    pub request: RequestId,
    pub step: String,
    pub output: Json,
    pub compensation: Plan,
    pub next: Next,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailStep {
    pub request: RequestId,
    pub step: String,
    pub code: String,
    pub reason: String,
    pub now: Timestamp,
}

/// What undoes a step that has just been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing needs to be undone.
    Nothing,
    Resolved(PlannedCompensation),
    /// The definition asks for a compensation that cannot be resolved.
    Broken {
        reason: String,
    },
}

/// What comes after a finished step, or at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Steps whose condition is false, in order.
    pub skipped: Vec<String>,
    pub then: Then,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    Start {
        step: String,
        call: ResolvedCall,
    },
    /// A condition or a mapping of the step cannot be evaluated.
    Broken {
        step: String,
        reason: String,
    },
    End,
}
