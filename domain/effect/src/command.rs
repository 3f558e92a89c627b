use crate::EffectRequested;

/// What the sync role learned about one effect. Every command carries the
/// request, so that the first event of a stream needs no earlier state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectCommand {
    pub request: EffectRequested,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The remote system is about to be called for the `attempt`-th time, counted from 1.
    Attempt { attempt: u32 },
    /// The remote system answered that the write is there.
    Confirm {
        remote_id: String,
        remote_version: String,
        properties_sha256: String,
    },
    /// The write is not there and will not be tried again.
    Fail { code: String, reason: String },
    /// The call ended without an answer that says whether the write is there.
    Doubt { reason: String },
    /// The remote record was read after a doubt.
    Reconcile {
        found: bool,
        remote_id: Option<String>,
    },
}
