//! Policy decisions: what was asked, by which bundle, and what it said.
//!
//! Complete enough to ask policy again and compare.

mod apply;
mod error;
mod project;
mod query;

use domain_kernel::Recorded;
use domain_policy::PolicyEvent;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::Decisions;

pub use error::Error;
pub use project::{DecisionRow, project, project_owned};
pub use query::{Decision, by_correlation, by_id};

/// The read model `decisions`.
#[derive(Debug)]
pub struct DecisionsProjection {
    decoder: Decoder<Decisions>,
}

impl DecisionsProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            decoder: Decoder::new(registry),
        }
    }
}

impl PgProjection for DecisionsProjection {
    const NAME: &'static str = "decisions";

    type Event = PolicyEvent;
    type Change = DecisionRow;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.decisions"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<PolicyEvent>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<PolicyEvent>, position: &Position) -> Vec<DecisionRow> {
        project(recorded, position)
    }

    fn project_owned(
        &self,
        recorded: Recorded<PolicyEvent>,
        position: &Position,
    ) -> Vec<DecisionRow> {
        project_owned(recorded, position)
    }

    async fn apply(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<DecisionRow>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::apply(tx, &changes).await
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "decision",
            sql: include_str!("../migrations/V1__decision.sql"),
        }]
    }

    fn written_once(&self) -> &'static [&'static str] {
        &["decision"]
    }

    async fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        rows: Vec<DecisionRow>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::bulk(tx, &rows).await
    }

    fn digest_query(&self) -> &'static str {
        "SELECT ROW(event_id, decision_id, tenant, correlation, path, bundle_digest, input, result, allow,
                reasons, engine, duration_us, extract(epoch FROM recorded_at))::text, correlation::text
         FROM decision"
    }
}
