use domain_kernel::{ContextId, ExecutionId, Json, Space, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};

/// The step of an execution that no workflow asked for, but a user. Not a name a
/// workflow's step can have; its workflow id is derived and belongs to nobody.
pub const USER_STEP: &str = "@user";

/// The events of `mesh.executions`: what agents are asked to do. The stream is
/// the execution id. Written by the workflow role, and by the gateway for users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionRequest {
    Requested(ExecutionRequested),
    Cancelled(ExecutionCancelled),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionRequested {
    pub execution_id: ExecutionId,
    pub workflow_id: WorkflowId,
    /// The step this answers to; echoed in every answer.
    pub step: String,
    /// Whether it undoes a step rather than doing one; echoed in every answer.
    pub compensation: bool,
    /// Registry id of the agent.
    pub agent_id: String,
    /// The MCP tool to call.
    pub tool: String,
    /// The tool's arguments, a JSON object.
    pub arguments: Json,
    /// Where the history the agent is shown comes from.
    pub space: Space,
    pub subject: String,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionCancelled {
    pub execution_id: ExecutionId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub reason: String,
}

/// The events of `mesh.results`: what came of it. The stream is the execution
/// id. Written by the agents role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionEvent {
    Started(ExecutionStarted),
    Succeeded(ExecutionSucceeded),
    Failed(ExecutionFailed),
}

/// The agent was called, and this is what it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionStarted {
    pub execution_id: ExecutionId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub agent_id: String,
    pub tool: String,
    /// The contexts in the history the agent was shown, oldest first.
    pub shown: Vec<ContextId>,
    /// Lowercase hexadecimal SHA-256 of the arguments as sent.
    pub arguments_sha256: String,
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionSucceeded {
    pub execution_id: ExecutionId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    pub agent_id: String,
    /// The tool's structured answer, a JSON object.
    pub output: Json,
    /// The model that answered, as the agent names it: `offline-rules-1`.
    pub model: String,
    /// Milliseconds from call to answer.
    pub duration_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionFailed {
    pub execution_id: ExecutionId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    pub agent_id: String,
    /// A stable code: `deadline`, `cancelled`, `tool-error`, `unreachable`, `refused`,
    /// `unknown-agent`, `not-allowed`, `invalid-arguments`, `invalid-output`.
    pub code: String,
    pub reason: String,
    pub duration_ms: u64,
}
