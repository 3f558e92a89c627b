//! The agent execution log: which agent was asked what, what it was shown, what it said.
//!
//! Requests and answers are two topics, and either may be read first; so each event
//! is a row of its own, and a view joins them.

mod apply;
mod error;
mod project;
mod query;

use domain_kernel::{Codec, Recorded};
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::{Executions, Results};

pub use error::Error;
pub use project::{Change, Event, project};
pub use query::{Execution, by_correlation, by_id, latest};

/// The read model `executions`.
#[derive(Debug)]
pub struct ExecutionsProjection {
    requests: Decoder<Executions>,
    answers: Decoder<Results>,
}

impl ExecutionsProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            requests: Decoder::new(registry.clone()),
            answers: Decoder::new(registry),
        }
    }
}

impl PgProjection for ExecutionsProjection {
    const NAME: &'static str = "executions";

    type Event = Event;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec![Executions::TOPIC, Results::TOPIC]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Event>>, DecodeError> {
        Ok(vec![match record.topic.as_str() {
            Executions::TOPIC => self.requests.decode(record).await?.map(Event::Request),
            _ => self.answers.decode(record).await?.map(Event::Answer),
        }])
    }

    fn project(&self, recorded: &Recorded<Event>, position: &Position) -> Vec<Change> {
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
            name: "execution",
            sql: include_str!("../migrations/V1__execution.sql"),
        }]
    }

    fn written_once(&self) -> &'static [&'static str] {
        &["request", "cancellation", "start", "ending"]
    }

    async fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Change>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::bulk(tx, changes).await
    }

    fn digest_query(&self) -> &'static str {
        "SELECT 'request' || ROW(execution_id, event_id, tenant, correlation, workflow_id, step, compensation,
                agent_id, tool, arguments, space, subject, extract(epoch FROM deadline),
                extract(epoch FROM recorded_at))::text, correlation::text
         FROM request
         UNION ALL
         SELECT 'cancellation' || ROW(c.execution_id, c.event_id, c.reason,
                extract(epoch FROM c.recorded_at))::text, r.correlation::text
         FROM cancellation c LEFT JOIN request r USING (execution_id)
         UNION ALL
         SELECT 'start' || ROW(s.execution_id, s.version, s.event_id, s.shown, s.arguments_sha256, s.attempt,
                extract(epoch FROM s.recorded_at))::text, r.correlation::text
         FROM start s LEFT JOIN request r USING (execution_id)
         UNION ALL
         SELECT 'ending' || ROW(e.execution_id, e.event_id, e.succeeded, e.output, e.model, e.code, e.reason,
                e.duration_ms, extract(epoch FROM e.recorded_at))::text, r.correlation::text
         FROM ending e LEFT JOIN request r USING (execution_id)"
    }
}
