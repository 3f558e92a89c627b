//! Systems of record, one folder each. To the executor all look alike: a write
//! addressed by an external id, and a way to find out whether it is there.

pub(crate) mod hubspot;

use std::time::Duration;

use domain_effect::EffectRequested;
use futures::future::BoxFuture;

/// A system of record as the executor sees it.
pub(crate) trait Connector: Send + Sync {
    /// Makes the write. Safe to repeat: the record is addressed by its external id.
    /// Asks `ownership` right before each request that writes, however long it had
    /// to wait for its turn.
    fn write<'a>(
        &'a self,
        effect: &'a EffectRequested,
        ownership: &'a dyn Ownership,
    ) -> BoxFuture<'a, Result<Written, CallError>>;

    /// Reads the remote record and says whether it holds what the effect writes.
    /// None also when the system says that there can be no such record.
    fn find<'a>(
        &'a self,
        effect: &'a EffectRequested,
    ) -> BoxFuture<'a, Result<Option<Written>, CallError>>;
}

/// Whether an effect is still this process's to carry out. One that was stopped and
/// goes on must not write what its successor has written.
pub(crate) trait Ownership: Send + Sync {
    /// True once it is certain that nobody else had it a moment ago.
    fn confirm(&self) -> BoxFuture<'_, bool>;
}

/// What the remote system says of a record it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) remote_id: String,
    pub(crate) remote_version: String,
}

/// How a call failed, and with it what is known of the write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The remote system looked at it and said no; repeating cannot help.
    #[error("{code}: {reason}")]
    Refused { code: &'static str, reason: String },
    /// Not even called, to leave a system alone that is failing or asked for a
    /// pause; this may be tried again as often as one likes.
    #[error("held back: {reason}")]
    Held {
        reason: String,
        retry_after: Duration,
    },
    /// Certainly not written; repeating may help.
    #[error("not done: {reason}")]
    NotDone {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Not called: the effect is another process's by now, or this one is stopping.
    #[error("no longer ours")]
    NotOurs,
    /// Perhaps written, perhaps not.
    #[error("in doubt: {reason}")]
    InDoubt { reason: String },
}
