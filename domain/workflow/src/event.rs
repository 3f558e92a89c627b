use domain_kernel::{ContextId, Json, Space, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::{Definition, ResolvedCall};

/// The events of `mesh.workflows`; the stream is the workflow id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkflowEvent {
    Started(WorkflowStarted),
    StepStarted(StepStarted),
    StepSucceeded(StepSucceeded),
    StepFailed(StepFailed),
    CompensationStarted(CompensationStarted),
    StepCompensated(StepCompensated),
    Succeeded(WorkflowSucceeded),
    Compensated(WorkflowCompensated),
    Parked(WorkflowParked),
}

/// Carries the whole definition, so that a run is explained by its own stream
/// however the registry changes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowStarted {
    pub workflow_id: WorkflowId,
    pub definition_id: String,
    /// `sha256:` and the lowercase hexadecimal digest of the definition.
    pub definition_digest: String,
    pub definition: Definition,
    pub trigger: TriggeredBy,
}

/// The context that started the run, as it was notified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggeredBy {
    pub context_id: ContextId,
    pub kind: String,
    pub space: Space,
    pub subject: String,
    pub content: Json,
}

/// Somebody is asked to do a step; the request follows from this event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStarted {
    pub workflow_id: WorkflowId,
    pub step: String,
    pub call: ResolvedCall,
    pub space: Space,
    pub subject: String,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSucceeded {
    pub workflow_id: WorkflowId,
    pub step: String,
    /// The agent's answer, or the outcome of the effect; `null` when skipped.
    pub output: Json,
    /// The condition was false and nothing was done.
    pub skipped: bool,
    /// What undoes it from now on, resolved while everything it needs is known.
    pub compensation: Option<PlannedCompensation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCompensation {
    pub call: ResolvedCall,
    pub deadline_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailed {
    pub workflow_id: WorkflowId,
    pub step: String,
    /// The code of the answer, or `deadline`, or `mapping` when an expression failed.
    pub code: String,
    pub reason: String,
    /// The request still in flight, to be called off: set when the deadline passed.
    pub cancels: Option<ResolvedCall>,
}

/// Somebody is asked to undo a step; the request follows from this event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompensationStarted {
    pub workflow_id: WorkflowId,
    pub step: String,
    pub call: ResolvedCall,
    pub space: Space,
    pub subject: String,
    /// Counted from 1; a failed compensation is tried again before the run is parked.
    pub attempt: u32,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCompensated {
    pub workflow_id: WorkflowId,
    pub step: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowSucceeded {
    pub workflow_id: WorkflowId,
}

/// A step failed for good and every finished step has been undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowCompensated {
    pub workflow_id: WorkflowId,
    pub failed_step: String,
    pub reason: String,
}

/// A step could not be undone either: an operator has to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowParked {
    pub workflow_id: WorkflowId,
    pub step: String,
    pub reason: String,
}
