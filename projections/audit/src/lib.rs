//! Audit: every event of the mesh, once, with where it stands on the log.

mod apply;
mod causal;
mod decode;
mod error;
mod project;
mod query;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::{DEAD_LETTERS, DeadLetter, PgProjection};

use decode::Decoders;

pub use causal::in_causal_order;
pub use error::Error;
pub use project::{Audited, EventRow, project};
pub use query::{Entry, by_correlation, by_id};

/// The read model `audit`.
#[derive(Debug)]
pub struct AuditProjection {
    decoders: Decoders,
}

impl AuditProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            decoders: Decoders::new(&registry),
        }
    }
}

impl PgProjection for AuditProjection {
    const NAME: &'static str = "audit";

    type Event = Audited;
    type Change = EventRow;

    fn topics(&self) -> Vec<&'static str> {
        decode::TOPICS.to_vec()
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Audited>>, DecodeError> {
        // A letter is a record that stands elsewhere; what is decided about it is an event.
        if record.topic == DEAD_LETTERS && DeadLetter::read(record).is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![self.decoders.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<Audited>, position: &Position) -> Vec<EventRow> {
        project(recorded, position)
    }

    async fn apply(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<EventRow>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::apply(tx, &changes).await
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![
            Migration {
                version: 1,
                name: "event",
                sql: include_str!("../migrations/V1__event.sql"),
            },
            Migration {
                version: 2,
                name: "actor",
                sql: include_str!("../migrations/V2__actor.sql"),
            },
        ]
    }

    /// The body is left out: it is a rendering of what `value_sha256` covers.
    fn written_once(&self) -> &'static [&'static str] {
        &["event"]
    }

    async fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        rows: Vec<EventRow>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::bulk(tx, &rows).await
    }

    fn digest_query(&self) -> &'static str {
        "SELECT ROW(event_id, topic, log_partition, log_offset, type, stream, version, tenant,
                correlation, causation, extract(epoch FROM recorded_at), source, traceparent,
                value_sha256, actor)::text, log_partition
         FROM event"
    }
}
