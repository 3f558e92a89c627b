//! Workflow runs and their steps, as they stand.
//!
//! Rows are upserted under the stream's version.

mod apply;
mod error;
mod fold;
mod project;
mod query;

use domain_kernel::Recorded;
use domain_workflow::WorkflowEvent;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::Workflows;

pub use error::Error;
pub use project::{Change, project};
pub use query::{Run, Step, by_correlation, by_id};

/// The read model `workflows`.
#[derive(Debug)]
pub struct WorkflowsProjection {
    decoder: Decoder<Workflows>,
}

impl WorkflowsProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            decoder: Decoder::new(registry),
        }
    }
}

impl PgProjection for WorkflowsProjection {
    const NAME: &'static str = "workflows";

    type Event = WorkflowEvent;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.workflows"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<WorkflowEvent>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<WorkflowEvent>, position: &Position) -> Vec<Change> {
        project(recorded, position)
    }

    fn combine(&self, changes: Vec<Change>) -> Vec<Change> {
        fold::combine(changes)
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
            name: "workflow",
            sql: include_str!("../migrations/V1__workflow.sql"),
        }]
    }

    fn digest_query(&self) -> &'static str {
        "SELECT 'run' || ROW(workflow_id, tenant, correlation, definition_id, definition_digest, context_id,
                kind, space, subject, status, failed_step, reason, extract(epoch FROM started_at),
                extract(epoch FROM changed_at), version)::text, correlation::text
         FROM run
         UNION ALL
         SELECT 'step' || ROW(s.workflow_id, s.step, s.ordinal, s.status, s.call, s.target, s.output, s.code,
                s.reason, s.attempts, extract(epoch FROM s.started_at), extract(epoch FROM s.ended_at),
                extract(epoch FROM s.compensated_at))::text, r.correlation::text
         FROM step s LEFT JOIN run r USING (workflow_id)"
    }
}
