//! Deliveries by correlation id: what came in, when, and whether it was accepted.
//!
//! The gateway asks here whether it has seen a delivery before when Redis cannot tell.

mod apply;
mod error;
mod project;
mod query;

use domain_delivery::DeliveryEvent;
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::{Migration, tokio_postgres};
use platform_projector::PgProjection;
use schemas::Deliveries;

pub use error::Error;
pub use project::{Change, project};
pub use query::{Delivery, Status, accepted, accepted_of, by_correlation, read_upto, refused};

/// The read model `deliveries`.
#[derive(Debug)]
pub struct DeliveriesProjection {
    decoder: Decoder<Deliveries>,
}

impl DeliveriesProjection {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            decoder: Decoder::new(registry),
        }
    }
}

impl PgProjection for DeliveriesProjection {
    const NAME: &'static str = "deliveries";

    type Event = DeliveryEvent;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.deliveries"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<DeliveryEvent>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<DeliveryEvent>, position: &Position) -> Vec<Change> {
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
            name: "delivery",
            sql: include_str!("../migrations/V1__delivery.sql"),
        }]
    }

    fn written_once(&self) -> &'static [&'static str] {
        &["accepted", "refused"]
    }

    async fn bulk(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        changes: Vec<Change>,
    ) -> Result<(), tokio_postgres::Error> {
        apply::bulk(tx, changes).await
    }

    fn digest_query(&self) -> &'static str {
        "SELECT 'accepted' || ROW(correlation, event_id, tenant, space, source_id, delivery_id,
                event_type, subject, scheme, auth, key_id, content_type, body_sha256, body_bytes,
                extract(epoch FROM recorded_at), log_partition, log_offset)::text, log_partition
         FROM accepted
         UNION ALL
         SELECT 'refused' || ROW(event_id, correlation, tenant, space, source_id, reason, detail,
                body_sha256, body_bytes, extract(epoch FROM recorded_at), log_partition, log_offset)::text,
                log_partition
         FROM refused"
    }
}
