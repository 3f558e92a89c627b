//! Contexts: what agents may be shown, and what was merged into it.
//!
//! The federation serves the history of a subject from here.

mod apply;
mod error;
mod project;
mod query;

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::Contexts;

pub use error::Error;
pub use project::{Change, MergeRow, SharedRow, project};
pub use query::{Context, Found, HistoryEntry, Merge, by_correlation, by_id, history, merges};

/// The read model `contexts`.
#[derive(Debug)]
pub struct ContextsProjection {
    decoder: Decoder<Contexts>,
}

impl ContextsProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            decoder: Decoder::new(registry),
        }
    }
}

impl PgProjection for ContextsProjection {
    const NAME: &'static str = "contexts";

    type Event = ContextEvent;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.contexts"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<ContextEvent>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<ContextEvent>, position: &Position) -> Vec<Change> {
        project(recorded, position)
    }

    async fn apply(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Change>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::apply(tx, changes).await
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "context",
            sql: include_str!("../migrations/V1__context.sql"),
        }]
    }

    fn written_once(&self) -> &'static [&'static str] {
        &["shared", "merged"]
    }

    async fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Change>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::bulk(tx, changes).await
    }

    fn digest_query(&self) -> &'static str {
        "SELECT 'shared' || ROW(context_id, event_id, tenant, correlation, space, kind, subject, delivery,
                source_id, content, content_sha256, text, model_digest, neighbour_id, neighbour_cosine,
                neighbour_kept_apart, subscribers, extract(epoch FROM recorded_at), log_partition,
                log_offset)::text, log_partition
         FROM shared
         UNION ALL
         SELECT 'merged' || ROW(context_id, version, event_id, tenant, correlation, space, kind, subject, delivery,
                source_id, content, content_sha256, model_digest, cosine, exact,
                extract(epoch FROM recorded_at), log_partition, log_offset)::text, log_partition
         FROM merged"
    }
}
