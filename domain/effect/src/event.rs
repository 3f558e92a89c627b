use domain_kernel::{EffectId, Json, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};

/// The events of `mesh.effects`: what is to be written. The stream is the
/// effect id; the key is connector and record, so that one record's writes stay
/// in order. Written by the workflow role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectRequest {
    Requested(EffectRequested),
    Cancelled(EffectCancelled),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRequested {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    /// Registry id of the connector.
    pub connector_id: String,
    pub operation: Operation,
    /// The remote collection: `tickets`, `contacts`.
    pub object: String,
    /// The unique property the record is addressed by: `agentmesh_id`, `email`.
    pub id_property: String,
    /// The value of that property: the external id of the record.
    pub external_id: String,
    /// The properties to write, a JSON object; empty for an archive.
    pub properties: Json,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectCancelled {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub connector_id: String,
    pub object: String,
    pub external_id: String,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Fails when the record exists already, unless it is ours.
    Create,
    /// Fails when the record does not exist.
    Update,
    Upsert,
    /// Succeeds when the record is already gone.
    Archive,
}

/// The events of `mesh.outcomes`: what came of it. The stream is the effect id.
/// Written by the sync role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectEvent {
    Attempted(EffectAttempted),
    Confirmed(EffectConfirmed),
    Failed(EffectFailed),
    Unknown(EffectUnknown),
    Reconciled(EffectReconciled),
}

/// The remote system is about to be called. On the log before the call is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectAttempted {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub connector_id: String,
    pub operation: Operation,
    pub object: String,
    pub external_id: String,
    pub attempt: u32,
}

/// The write is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectConfirmed {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    pub connector_id: String,
    pub remote_id: String,
    /// What the remote system calls its version of the record, such as its update time.
    pub remote_version: String,
    /// Lowercase hexadecimal SHA-256 of the properties that were written.
    pub properties_sha256: String,
    /// How it is known that the write is there.
    pub evidence: Evidence,
}

/// What a confirmation rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Recorded before this was noted.
    #[default]
    Unstated,
    /// The remote system answered the call.
    Answer,
    /// The answer was lost, and the record was found when it was read.
    Reading,
}

/// The write is not there and will not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectFailed {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    pub connector_id: String,
    /// A stable code: `rejected`, `conflict`, `not-found`, `deadline`, `cancelled`,
    /// `unauthorised`, `unavailable`, `unknown-connector`.
    pub code: String,
    pub reason: String,
}

/// Nobody can tell yet whether the write is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectUnknown {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub connector_id: String,
    pub reason: String,
}

/// The remote record was read to find out. Followed by a confirmation, another
/// attempt, or a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectReconciled {
    pub effect_id: EffectId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub connector_id: String,
    /// Whether the remote record holds what was to be written.
    pub found: bool,
    pub remote_id: Option<String>,
}

impl Evidence {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unstated => "unstated",
            Self::Answer => "answer",
            Self::Reading => "reading",
        }
    }
}

impl Operation {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Archive => "archive",
        }
    }
}
