//! Writes to systems of record: what was asked for, what was tried, what came of it.
//!
//! Requests are keyed by remote record and outcomes by correlation id, so that either
//! may be read first; each event is a row of its own, and a view joins them.

mod apply;
mod error;
mod project;
mod query;

use domain_kernel::{Codec, Recorded};
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::{Effects, Outcomes};

pub use error::Error;
pub use project::{Change, Event, project};
pub use query::{Effect, Outcome, by_correlation, by_id, outcomes};

/// The read model `effects`.
#[derive(Debug)]
pub struct EffectsProjection {
    requests: Decoder<Effects>,
    answers: Decoder<Outcomes>,
}

impl EffectsProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            requests: Decoder::new(registry.clone()),
            answers: Decoder::new(registry),
        }
    }
}

impl PgProjection for EffectsProjection {
    const NAME: &'static str = "effects";

    type Event = Event;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec![Effects::TOPIC, Outcomes::TOPIC]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Event>>, DecodeError> {
        Ok(vec![match record.topic.as_str() {
            Effects::TOPIC => self.requests.decode(record).await?.map(Event::Request),
            _ => self.answers.decode(record).await?.map(Event::Outcome),
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
            name: "effect",
            sql: include_str!("../migrations/V1__effect.sql"),
        }]
    }

    fn written_once(&self) -> &'static [&'static str] {
        &["request", "cancellation", "outcome"]
    }

    async fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Change>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::bulk(tx, changes).await
    }

    fn digest_query(&self) -> &'static str {
        "SELECT 'request' || ROW(effect_id, event_id, tenant, correlation, workflow_id, step, compensation,
                connector_id, operation, object, id_property, external_id, properties,
                extract(epoch FROM deadline), extract(epoch FROM recorded_at))::text,
                connector_id || '/' || object || '/' || external_id
         FROM request
         UNION ALL
         SELECT 'cancellation' || ROW(c.effect_id, c.event_id, c.reason,
                extract(epoch FROM c.recorded_at))::text,
                r.connector_id || '/' || r.object || '/' || r.external_id
         FROM cancellation c LEFT JOIN request r USING (effect_id)
         UNION ALL
         SELECT 'outcome' || ROW(effect_id, version, event_id, tenant, correlation, kind, attempt, remote_id,
                remote_version, properties_sha256, code, reason, found,
                extract(epoch FROM recorded_at))::text, correlation::text
         FROM outcome"
    }
}
