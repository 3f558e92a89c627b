use serde::{Deserialize, Serialize};

/// How far one effect has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectState {
    pub phase: Phase,
    /// The number of the last attempt on record; 0 before the first.
    pub attempts: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Requested,
    /// Called, or about to be; no answer is on record.
    Attempted,
    /// Called, and nobody knows whether it worked.
    Unknown,
    /// The remote record was read after a doubt.
    Reconciled {
        found: bool,
    },
    Confirmed,
    Failed,
}

impl EffectState {
    /// The outcome, once there is one that nothing follows.
    pub const fn outcome(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Confirmed => Some("confirmed"),
            Phase::Failed => Some("failed"),
            Phase::Requested | Phase::Attempted | Phase::Unknown | Phase::Reconciled { .. } => None,
        }
    }
}
