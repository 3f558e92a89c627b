//! Contexts in Redis for a day: by id, by correlation id, and the latest of each
//! subject.
//!
//! The cache is only ever a shorter way to what `mesh.contexts` says. Flushed, it
//! fills itself again from the log; until then whoever asks it goes to Postgres.

mod apply;
mod error;
mod project;
mod query;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_projector::{Failure, StoreProjection};
use platform_redis::Redis;
use schemas::Contexts;

pub use error::Error;
pub use project::{CachedContext, Change, Link, project};
pub use query::{ContextCache, Recent};

/// How long after it was shared a context is kept.
pub const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How many contexts of one subject are listed.
pub const LISTED: u32 = 100;

const TOPIC: &str = "mesh.contexts";

/// The projection that fills the cache.
#[derive(Debug)]
pub struct ContextCacheProjection {
    redis: Redis,
    decoder: Decoder<Contexts>,
    /// Partitions whose offsets were read, and so stand in Redis.
    claimed: Mutex<HashSet<i32>>,
}

impl ContextCacheProjection {
    pub fn new(redis: Redis, registry: SchemaRegistry) -> Self {
        Self {
            redis,
            decoder: Decoder::new(registry),
            claimed: Mutex::default(),
        }
    }

    fn claimed(&self) -> std::sync::MutexGuard<'_, HashSet<i32>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreProjection for ContextCacheProjection {
    const NAME: &'static str = "context-cache";
    type Event = ContextEvent;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec![TOPIC]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<ContextEvent>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<ContextEvent>, position: &Position) -> Vec<Change> {
        project(recorded, position)
    }

    async fn positions(&self, partition: i32) -> Result<Vec<(String, i64)>, Failure> {
        let positions = apply::positions(&self.redis, partition)
            .await
            .map_err(Failure::transient)?;
        self.claimed().insert(partition);
        Ok(positions)
    }

    async fn apply(
        &self,
        partition: i32,
        changes: Vec<Change>,
        upto: &[(String, i64)],
        generation: i64,
    ) -> Result<(), Failure> {
        let claimed = self.claimed().contains(&partition);
        let now = platform_telemetry::now();
        apply::apply(
            &self.redis,
            partition,
            &changes,
            upto,
            generation,
            claimed,
            now,
        )
        .await
        .map_err(Failure::transient)
    }

    async fn clear(&self) -> Result<(), Failure> {
        self.claimed().clear();
        apply::clear(&self.redis).await.map_err(Failure::transient)
    }

    async fn entries(&self) -> Result<Vec<String>, Failure> {
        apply::entries(&self.redis)
            .await
            .map_err(Failure::transient)
    }
}
