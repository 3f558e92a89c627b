//! Read models that keep their own offsets: Redis, the vector index.

mod runner;

use std::future::Future;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Position, Record};
use platform_postgres::{Pool, migrate, schema_name};

#[cfg(test)]
pub(crate) use runner::run_store_in;
pub use runner::run_store_projection;

use crate::Failure;
pub use crate::digest::{store_digest, store_digest_of};

/// A read model outside Postgres. Its offsets are kept inside the store, next to
/// what they vouch for, so that a store that was flushed starts over by itself.
///
/// `generation` in `claim` and `apply` grows with every claim of a partition;
/// Postgres hands it out (schema `NAME`), whether or not the store can check it.
pub trait StoreProjection: Send + Sync + 'static {
    /// Names the consumer group and, with `-` turned into `_`, the Postgres schema
    /// in which only the owner generations are kept.
    const NAME: &'static str;
    /// How many records are handled at once, at most.
    const BATCH: usize = 1_000;
    type Event: Send + Sync;
    type Change: Send;

    /// The topics read, without prefix.
    fn topics(&self) -> Vec<&'static str>;

    /// Reads one record; empty when it is not of interest.
    fn decode(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Vec<Recorded<Self::Event>>, DecodeError>> + Send;

    /// What changes because of one event. Pure; a panic makes the record a dead letter.
    fn project(&self, recorded: &Recorded<Self::Event>, position: &Position) -> Vec<Self::Change>;

    /// As `positions`, for who is going to write from there on. A store that can
    /// tell owners apart notes the generation together with reading the offsets,
    /// and refuses, as transient, one lower than it has seen: whoever claimed
    /// before writes no more, neither after this nor after a flush.
    fn claim(
        &self,
        partition: i32,
        _generation: i64,
    ) -> impl Future<Output = Result<Vec<(String, i64)>, Failure>> + Send {
        self.positions(partition)
    }

    /// The next offset of each topic for one partition, as the store has it. A
    /// topic that is missing starts at 0. Called every few seconds while idle:
    /// offsets lower than the runner's mean that the store was flushed, and the
    /// runner reads again from there.
    fn positions(
        &self,
        partition: i32,
    ) -> impl Future<Output = Result<Vec<(String, i64)>, Failure>> + Send;

    /// Writes the changes of one partition's batch and then, or atomically with
    /// them, the offsets `upto` (next offset of each topic). Applying a batch
    /// again must do no harm. Refuses, as transient, a generation lower than one
    /// it has seen, where the store can tell.
    fn apply(
        &self,
        partition: i32,
        changes: Vec<Self::Change>,
        upto: &[(String, i64)],
        generation: i64,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Forgets everything, offsets included.
    fn clear(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The canonical text of each entry, offsets excluded, in any order.
    fn entries(&self) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;

    /// The entries with the partition each belongs to, as far as it can be told,
    /// and the offsets of each partition that they are a fold of.
    fn content(&self, partitions: u32) -> impl Future<Output = Result<Content, Failure>> + Send {
        async move {
            let before = offsets(self, partitions).await?;
            let entries = self.entries().await?;
            let after = offsets(self, partitions).await?;
            Ok(Content {
                settled: before == after,
                offsets: after,
                entries: entries.into_iter().map(|entry| (None, entry)).collect(),
            })
        }
    }
}

/// A read model outside Postgres of which several can stand side by side, so
/// that one is built while another serves.
pub trait ShadowStore: StoreProjection + Sized {
    /// Who sends to the dead letters what the live one cannot read: its own
    /// runner, or the role that keeps it.
    const GIVEN_UP_BY: &'static str = Self::NAME;

    /// The same read model beside the live one, under a name; empty unless it
    /// was begun before. It writes nothing that readers of the live one see.
    fn beside(&self, name: &str) -> Self;

    /// Puts `shadow` in the place of this one, so that a reader finds either the
    /// one or the other, and forgets what was replaced. A writer that was not
    /// told (`generations` are those of the new owner, by partition) can write
    /// into neither, or does no harm by it.
    fn replace_with(
        &self,
        shadow: &Self,
        generations: &[(i32, i64)],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Whether nothing was written while it was read.
    pub settled: bool,
    pub offsets: Vec<(i32, Vec<(String, i64)>)>,
    pub entries: Vec<(Option<i32>, String)>,
}

/// Creates or updates the Postgres schema in which the owner generations of a
/// read model elsewhere are kept.
///
/// # Errors
/// When Postgres fails.
pub async fn migrate_store<P: StoreProjection>(
    pool: &Pool,
) -> Result<(), platform_postgres::Error> {
    migrate(pool, &schema_name(P::NAME), &[]).await
}

/// The offsets of all partitions.
pub(crate) async fn offsets<P: StoreProjection + ?Sized>(
    projection: &P,
    partitions: u32,
) -> Result<Vec<(i32, Vec<(String, i64)>)>, Failure> {
    let mut offsets = Vec::new();
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        offsets.push((partition, projection.positions(partition).await?));
    }
    Ok(offsets)
}
