//! The registry: sources, agents, policies, subscriptions, workflow definitions, connectors.
//!
//! For lists and for people; services that act on it follow `mesh.registry` themselves.

mod apply;
mod error;
mod project;
mod query;

use domain_kernel::Recorded;
use domain_registry::RegistryEvent;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::Registry;

pub use error::Error;
pub use project::{ResourceRow, project};
pub use query::{Resource, get, list};

/// The read model `agents`.
#[derive(Debug)]
pub struct AgentsProjection {
    decoder: Decoder<Registry>,
}

impl AgentsProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            decoder: Decoder::new(registry),
        }
    }
}

impl PgProjection for AgentsProjection {
    const NAME: &'static str = "agents";

    type Event = RegistryEvent;
    type Change = ResourceRow;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.registry"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<RegistryEvent>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<RegistryEvent>, position: &Position) -> Vec<ResourceRow> {
        project(recorded, position)
    }

    async fn apply(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<ResourceRow>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::apply(tx, changes).await
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "resource",
            sql: include_str!("../migrations/V1__resource.sql"),
        }]
    }

    fn digest_query(&self) -> &'static str {
        "SELECT ROW(kind, id, tenant, version, retired, definition, event_id,
                extract(epoch FROM recorded_at))::text, 0
         FROM resource"
    }
}
