//! What the log holds and the read model does not yet, recalled at the start: a
//! gateway that died between the append and its answer left nobody who remembers
//! either but the log itself.

use std::collections::HashMap;
use std::time::Duration;

use domain_delivery::DeliveryEvent;
use domain_kernel::Codec as _;
use platform_config::Kafka;
use platform_log::{Admin, Decoder, PartitionReader, SchemaRegistry};
use schemas::Deliveries;
use tracing::{info, warn};

use super::claim::{Answer, BodyDigest, Idempotency};

/// The most that is recalled of one partition: what was sent last is what is
/// sent again next.
const PER_PARTITION: i64 = 10_000;
/// Beyond this, starting matters more.
const DEADLINE: Duration = Duration::from_secs(20);
const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the read model cannot be asked how far it is")]
    ReadModel(#[from] projections_deliveries::Error),
    #[error("the log cannot be read")]
    Log(#[from] platform_log::Error),
}

impl Idempotency {
    /// Recalls what was accepted a moment ago. What cannot be recalled is told
    /// apart by its ids alone, as before.
    pub(crate) async fn recall(&self, kafka: &Kafka, registry: &SchemaRegistry) {
        match tokio::time::timeout(DEADLINE, self.read_tail(kafka, registry)).await {
            Ok(Ok(count)) => info!(
                deliveries.recalled = count,
                "recalled what was accepted last"
            ),
            Ok(Err(error)) => {
                warn!(error = %error, cause = ?error, "what was accepted last is not recalled");
            }
            Err(_) => warn!("not all that was accepted last is recalled"),
        }
    }

    async fn read_tail(&self, kafka: &Kafka, registry: &SchemaRegistry) -> Result<usize, Failed> {
        let known: HashMap<i32, i64> = projections_deliveries::read_upto(&self.stores.pool)
            .await?
            .into_iter()
            .collect();
        let ends = Admin::new(kafka)?
            .high_watermarks(Deliveries::TOPIC)
            .await?;
        let from: Vec<(i32, i64)> = ends
            .iter()
            .map(|(partition, end)| {
                let read = known.get(partition).copied().unwrap_or(0);
                (*partition, read.max(end - PER_PARTITION).min(*end))
            })
            .collect();
        let behind = |(from, end): (&(i32, i64), &(i32, i64))| from.1 < end.1;
        if !from.iter().zip(&ends).any(behind) {
            return Ok(0);
        }
        let mut reader = PartitionReader::open(kafka, Deliveries::TOPIC, from)?;
        let decoder = Decoder::<Deliveries>::new(registry.clone());
        let mut count = 0;
        while !reader.has_reached(&ends) {
            for record in reader.next(BATCH, WAIT).await? {
                // What is not readable was not appended by us.
                let Ok(recorded) = decoder.decode(&record).await else {
                    continue;
                };
                let correlation = recorded.meta.correlation;
                if let DeliveryEvent::Accepted(accepted) = recorded.event
                    && let Some(digest) = BodyDigest::from_hex(&accepted.body_sha256)
                {
                    let url = &self.stores.public_url;
                    let answer = Answer::new(correlation, &accepted.delivery_id, url);
                    self.remember(correlation, digest, &answer);
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}
