//! Read models that keep their own offsets: Redis, the vector index.

mod runner;

use std::future::Future;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Position, Record};

pub use runner::run_store_projection;
pub(crate) use runner::store_batch;

use crate::{Digest, Error, Failure};

/// A read model outside Postgres. Its offsets are kept inside the store, next to
/// what they vouch for, so that a store that was flushed starts over by itself.
///
/// `generation` in `claim` and `apply` grows with every claim of a partition;
/// Postgres hands it out (schema `NAME`), whether or not the store can check it.
pub trait StoreProjection: Send + Sync + 'static {
    /// Names the consumer group and, with `-` turned into `_`, the Postgres schema
    /// in which only the owner generations are kept.
    const NAME: &'static str;
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

    /// The next offset of each topic for one partition, as the store has it. A
    /// topic that is missing starts at 0. Called after every claim, and every
    /// few seconds while idle: offsets lower than the runner's mean that the
    /// store was flushed, and the runner reads again from there.
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
}

/// The digest of what the store holds.
///
/// # Errors
/// When the store does not answer.
pub async fn store_digest<P: StoreProjection>(projection: &P) -> Result<Digest, Error> {
    let entries = projection.entries().await.map_err(|source| Error::Digest {
        name: P::NAME,
        source,
    })?;
    Ok(Digest::of(entries.iter().map(String::as_str)))
}
