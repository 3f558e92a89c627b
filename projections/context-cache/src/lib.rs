//! Contexts in Redis for a day: by id, by correlation id, and the latest of each
//! subject.
//!
//! The cache is only ever a shorter way to what `mesh.contexts` says. Flushed, it
//! fills itself again from the log; until then whoever asks it goes to Postgres.

mod apply;
mod error;
mod place;
mod project;
mod query;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_projector::{Content, Failure, ShadowStore, StoreProjection};
use platform_redis::Redis;
use schemas::Contexts;

use place::{Place, Resolved};

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
    registry: SchemaRegistry,
    place: Place,
    /// Where that was when offsets were last read.
    resolved: Mutex<Option<Resolved>>,
    /// Partitions whose owner was noted in Redis.
    claimed: Mutex<HashSet<i32>>,
}

impl ContextCacheProjection {
    pub fn new(redis: Redis, registry: SchemaRegistry) -> Self {
        Self::at(redis, registry, Place::Live)
    }

    fn at(redis: Redis, registry: SchemaRegistry, place: Place) -> Self {
        Self {
            redis,
            decoder: Decoder::new(registry.clone()),
            registry,
            place,
            resolved: Mutex::default(),
            claimed: Mutex::default(),
        }
    }

    fn resolved(&self) -> std::sync::MutexGuard<'_, Option<Resolved>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the cache is now, and from now on for what is written.
    async fn resolve(&self) -> Result<Resolved, Failure> {
        let place = self
            .place
            .resolve(&self.redis)
            .await
            .map_err(Failure::transient)?;
        *self.resolved() = Some(place.clone());
        Ok(place)
    }

    /// Where the cache is now, for who only reads.
    async fn resolve_apart(&self) -> Result<Resolved, Failure> {
        let place = self.place.resolve(&self.redis).await;
        place.map_err(Failure::transient)
    }

    async fn offsets(
        &self,
        place: &Resolved,
        partitions: u32,
    ) -> Result<Vec<(i32, Vec<(String, i64)>)>, Failure> {
        let mut offsets = Vec::new();
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let positions = apply::positions(&self.redis, place, partition).await;
            offsets.push((partition, positions.map_err(Failure::transient)?));
        }
        Ok(offsets)
    }

    /// Where it was when its offsets were read: what was read then must not go
    /// into a cache that took its place since.
    async fn known(&self) -> Result<Resolved, Failure> {
        let known = self.resolved().clone();
        match known {
            Some(known) => Ok(known),
            None => self.resolve().await,
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

    async fn claim(&self, partition: i32, generation: i64) -> Result<Vec<(String, i64)>, Failure> {
        let place = self.resolve().await?;
        let positions = apply::claim(&self.redis, &place, partition, generation)
            .await
            .map_err(Failure::transient)?;
        self.claimed().insert(partition);
        Ok(positions)
    }

    async fn positions(&self, partition: i32) -> Result<Vec<(String, i64)>, Failure> {
        let place = self.resolve().await?;
        let positions = apply::positions(&self.redis, &place, partition).await;
        positions.map_err(Failure::transient)
    }

    async fn apply(
        &self,
        partition: i32,
        changes: Vec<Change>,
        upto: &[(String, i64)],
        generation: i64,
    ) -> Result<(), Failure> {
        let place = self.known().await?;
        let claimed = self.claimed().contains(&partition);
        let writer = apply::Writer {
            place: &place,
            partition,
            generation,
            claimed,
        };
        let now = platform_telemetry::now();
        apply::apply(&self.redis, &writer, &changes, upto, now)
            .await
            .map_err(Failure::transient)
    }

    async fn clear(&self) -> Result<(), Failure> {
        self.claimed().clear();
        let place = self.resolve().await?;
        apply::clear(&self.redis, &place.start)
            .await
            .map_err(Failure::transient)
    }

    async fn entries(&self) -> Result<Vec<String>, Failure> {
        let place = self.resolve_apart().await?;
        let entries = apply::entries(&self.redis, &place, 0).await;
        let entries = entries.map_err(Failure::transient)?;
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    async fn content(&self, partitions: u32) -> Result<Content, Failure> {
        let place = self.resolve_apart().await?;
        let before = self.offsets(&place, partitions).await?;
        let entries = apply::entries(&self.redis, &place, partitions)
            .await
            .map_err(Failure::transient)?;
        let after = self.offsets(&place, partitions).await?;
        Ok(Content {
            settled: before == after && place == self.resolve_apart().await?,
            offsets: after,
            entries,
        })
    }
}

impl ShadowStore for ContextCacheProjection {
    fn beside(&self, name: &str) -> Self {
        Self::at(
            self.redis.clone(),
            self.registry.clone(),
            Place::named(name),
        )
    }

    async fn replace_with(
        &self,
        _shadow: &Self,
        generations: &[(i32, i64)],
    ) -> Result<(), Failure> {
        let replaced = place::swap(&self.redis, apply::position_key, generations)
            .await
            .map_err(Failure::transient)?;
        self.claimed().clear();
        *self.resolved() = None;
        apply::clear(&self.redis, &replaced)
            .await
            .map_err(Failure::transient)
    }
}
