use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use platform_postgres::{Checkpoints, Claimed, Error, Pool};
use tracing::warn;

use super::Cancellation;
use crate::Failure;
use crate::error::chain;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// An answer that took longer says nothing of now: this process may have been
/// stopped for all that time.
const FRESH: Duration = Duration::from_millis(500);

/// One partition's requests in the hands of this process, until others get them.
#[derive(Debug)]
pub(crate) struct Ownership {
    pool: Pool,
    checkpoints: Checkpoints,
    claims: Vec<Claimed>,
    lost: AtomicBool,
}

impl Ownership {
    pub(crate) const fn new(pool: Pool, checkpoints: Checkpoints, claims: Vec<Claimed>) -> Self {
        Self {
            pool,
            checkpoints,
            claims,
            lost: AtomicBool::new(false),
        }
    }

    /// Whether this process was told that it is over.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Returns once it is certain that nobody else had claimed the partition a
    /// moment ago. While Postgres does not say, it waits and asks again.
    ///
    /// # Errors
    /// Transient when the partition went to another owner, or when interrupted.
    pub(crate) async fn confirm(&self, cancel: &Cancellation) -> Result<(), Failure> {
        let mut wait = FIRST_WAIT;
        loop {
            if self.is_lost() {
                return Err(gone());
            }
            let asked = Instant::now();
            match self.checkpoints.verify(&self.pool, &self.claims).await {
                Ok(()) if asked.elapsed() <= FRESH => return Ok(()),
                Ok(()) => {}
                Err(Error::Fenced { .. }) => {
                    self.lose();
                    return Err(gone());
                }
                Err(error) => {
                    warn!(error = %chain(&error), "ownership is not confirmed yet");
                    if cancel.is_interrupted() {
                        return Err(Failure::transient(error));
                    }
                }
            }
            tokio::select! {
                () = cancel.interrupted() => return Err(Failure::transient("interrupted")),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

pub(super) fn gone() -> Failure {
    Failure::transient("the partition went to another owner")
}
