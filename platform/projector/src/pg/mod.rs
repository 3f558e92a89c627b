//! Read models in Postgres.

mod read_model;
mod runner;

use std::future::Future;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Position, Record};
use platform_postgres::{Migration, Pool, migrate, schema_name, tokio_postgres};

pub use crate::digest::{digest, digest_of, digest_of_schema};
#[cfg(test)]
pub(crate) use read_model::ReadModel;
pub(crate) use read_model::TOGETHER;
#[cfg(test)]
pub(crate) use runner::run_model_in;
pub use runner::run_projection;

/// A read model in a Postgres schema of its own.
///
/// Rows and checkpoint commit in one transaction: the runner moves the
/// checkpoint, guarded by the owner generation, and then calls `apply` within
/// the same transaction. Although a committed record is never applied twice,
/// the *log* may hold a duplicate (a producer that was superseded, a
/// re-emission after a crash), so `apply` guards each row by `(stream,
/// version)` or by event id: the first one wins.
pub trait PgProjection: Send + Sync + 'static {
    /// Names the consumer group and, with `-` turned into `_`, the Postgres schema.
    const NAME: &'static str;
    /// What the topics carry, decoded. An enum over the codecs when there are several.
    type Event: Send + Sync;
    /// One row operation.
    type Change: Send + Sync;

    /// The topics read, without prefix.
    fn topics(&self) -> Vec<&'static str>;

    /// Reads one record; empty when it is not of interest.
    fn decode(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Vec<Recorded<Self::Event>>, DecodeError>> + Send;

    /// What changes because of one event. Pure; a panic makes the record a dead letter.
    fn project(&self, recorded: &Recorded<Self::Event>, position: &Position) -> Vec<Self::Change>;

    /// As `project`, of an event that is needed nowhere else: its texts may move into
    /// the changes. The runner and a rebuild use this one.
    fn project_owned(
        &self,
        recorded: Recorded<Self::Event>,
        position: &Position,
    ) -> Vec<Self::Change> {
        self.project(&recorded, position)
    }

    /// Fewer changes that come to the same, of some that follow one another in log
    /// order. Pure, and must not panic: nobody could tell because of which record. It
    /// is done to what was just read, while what was read before is written, so that
    /// `apply` has less left to do before its first row goes out.
    ///
    /// What is stored is not known here: `apply` must still tell which part of a
    /// combined change is a repeat, and gets changes that were not combined as well.
    fn combine(&self, changes: Vec<Self::Change>) -> Vec<Self::Change> {
        changes
    }

    /// Writes the changes of a batch, in log order, set-based (`UNNEST` or `COPY`).
    ///
    /// Several changes of one batch may concern the same row, so fold them first.
    /// The search path is the projection's schema. The whole batch is rolled
    /// back on an error; when values are at fault (SQLSTATE 22, 23 or 54) the
    /// runner tries the records one by one and only the guilty one becomes a
    /// dead letter. Note that Postgres text cannot hold U+0000.
    fn apply(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Self::Change>,
    ) -> impl Future<Output = Result<(), tokio_postgres::Error>> + Send;

    /// The tables of which each row is written once, by its primary key, and never
    /// changed after. A rebuild fills them without keys and makes the keys at the
    /// end; of rows with the same key the first one stays, as `apply` guards it.
    fn written_once(&self) -> &'static [&'static str] {
        &[]
    }

    /// As `apply`, into tables of `written_once` that have no keys yet, so that
    /// nothing is looked up and `COPY` will do. Other tables have their keys.
    fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Self::Change>,
    ) -> impl Future<Output = Result<(), tokio_postgres::Error>> + Send {
        self.apply(tx, changes)
    }

    /// The tables. Unqualified names mean the projection's schema.
    fn migrations(&self) -> Vec<Migration>;

    /// A query of one text column: each row's content in a canonical form,
    /// without anything that a rebuild does not restore (no `now()`, no serials).
    /// The order of rows does not matter. The search path is the projection's schema.
    ///
    /// A second column tells which partition a row belongs to: an `int4` is the
    /// partition itself, a text the key of the records it is made from, from
    /// which the partition follows; null where a row cannot tell.
    fn digest_query(&self) -> &'static str;
}

/// Creates or updates the schema of a projection.
///
/// # Errors
/// When Postgres fails or a migration does.
pub async fn migrate_projection<P: PgProjection>(
    projection: &P,
    pool: &Pool,
) -> Result<(), platform_postgres::Error> {
    migrate(pool, &schema_name(P::NAME), &projection.migrations()).await
}
