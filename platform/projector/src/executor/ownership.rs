use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use platform_config::Kafka;
use platform_log::Position;
use platform_postgres::{Checkpoints, Claimed, Error, Pool};
use tracing::warn;

use super::Cancellation;
use super::progress::Vector;
use crate::Failure;
use crate::error::chain;
use crate::read::Stretch;

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
    kafka: Kafka,
    /// Up to where the answer topic was read when it began.
    read_to: Arc<Vector>,
    lost: AtomicBool,
}

impl Ownership {
    pub(crate) const fn new(
        pool: Pool,
        checkpoints: Checkpoints,
        claims: Vec<Claimed>,
        kafka: Kafka,
        read_to: Arc<Vector>,
    ) -> Self {
        Self {
            pool,
            checkpoints,
            claims,
            kafka,
            read_to,
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

    /// What came into the answer topic since it began and before `until`, in the
    /// partition of that.
    pub(crate) fn since_takeover(&self, until: &Position) -> Result<Stretch, Failure> {
        let from = self.read_to.get(&until.partition).copied().unwrap_or(0);
        let stretch = (from, until.offset);
        Stretch::between(&self.kafka, &until.topic, until.partition, stretch)
            .map_err(|halt| Failure::transient(halt.reason()))
    }
}

pub(super) fn gone() -> Failure {
    Failure::transient("the partition went to another owner")
}
