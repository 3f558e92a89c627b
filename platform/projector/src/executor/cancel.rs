use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Why an execution is to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// A request called it off: record a final answer that says so.
    Requested,
    /// The process stops or lost the partition: return without a final answer;
    /// the request will be executed again, here or elsewhere.
    Shutdown,
}

/// Tells an execution to end early.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    token: CancellationToken,
    requested: Arc<AtomicBool>,
    interrupted: CancellationToken,
}

impl Cancellation {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Waits until the execution is to end.
    pub async fn cancelled(&self) -> CancelReason {
        self.token.cancelled().await;
        self.why()
    }

    /// Why the execution is to end; none while it may go on.
    pub fn reason(&self) -> Option<CancelReason> {
        self.token.is_cancelled().then(|| self.why())
    }

    /// For callees that only need to know when, such as an MCP call.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    fn why(&self) -> CancelReason {
        // A shutdown wins: there is no time left to record that it was called
        // off, and the request that called it off will be read again.
        if self.requested.load(Ordering::Acquire) && !self.interrupted.is_cancelled() {
            CancelReason::Requested
        } else {
            CancelReason::Shutdown
        }
    }

    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn interrupt(&self) {
        self.interrupted.cancel();
        self.token.cancel();
    }

    pub(crate) async fn interrupted(&self) {
        self.interrupted.cancelled().await;
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_wins_over_a_request() {
        let cancel = Cancellation::new();
        assert_eq!(cancel.reason(), None);
        cancel.request();
        assert_eq!(cancel.reason(), Some(CancelReason::Requested));
        cancel.interrupt();
        assert_eq!(cancel.reason(), Some(CancelReason::Shutdown));
    }
}
