use serde::{Deserialize, Serialize};

/// How far one execution has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionState {
    pub phase: Phase,
    /// The number of the last call on record; 0 before the first.
    pub attempts: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Requested,
    /// Called, or about to be; no answer is on record.
    Started,
    Succeeded,
    Failed,
}

impl ExecutionState {
    /// The outcome, once there is one that nothing follows.
    pub const fn outcome(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Succeeded => Some("succeeded"),
            Phase::Failed => Some("failed"),
            Phase::Requested | Phase::Started => None,
        }
    }
}
