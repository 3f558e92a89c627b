use std::collections::HashSet;

use platform_config::Kafka;
use platform_log::{Admin, PartitionReader, Position};
use tokio::sync::OnceCell;

use super::{DeadLetter, TOPIC};
use crate::Failure;

/// What the live runner of one consumer gave up: a rebuild passes over nothing
/// else, and gives up nothing by itself.
pub(crate) struct GivenUp {
    kafka: Kafka,
    consumer: &'static str,
    /// Read from the log when first needed.
    records: OnceCell<HashSet<Position>>,
}

impl GivenUp {
    pub(crate) fn by(consumer: &'static str, kafka: &Kafka) -> Self {
        Self {
            kafka: kafka.clone(),
            consumer,
            records: OnceCell::new(),
        }
    }

    /// Whether a record that failed is passed over; if not, why the rebuild has
    /// to stop. One that can never succeed is a dead letter since it was first
    /// met. One that might, such as one whose schema is unknown, only if it is
    /// among the letters: a registry that lost its schemas would else empty a
    /// read model without a word.
    pub(crate) async fn pass_over(&self, at: &Position, failure: Failure) -> Result<(), Failure> {
        let passed = match failure {
            Failure::Poison(_) => true,
            Failure::Suspect(_) => self.contains(at).await?,
            Failure::Transient(_) => false,
        };
        if passed { Ok(()) } else { Err(failure) }
    }

    async fn contains(&self, at: &Position) -> Result<bool, Failure> {
        let records = self.records.get_or_try_init(|| self.read()).await;
        Ok(records.map_err(Failure::transient)?.contains(at))
    }

    async fn read(&self) -> Result<HashSet<Position>, platform_log::Error> {
        let partitions = Admin::new(&self.kafka)?.partition_count(TOPIC).await?;
        let from = (0..partitions as i32).map(|number| (number, -1));
        let mut reader = PartitionReader::open(&self.kafka, TOPIC, from)?;
        let letters = reader.read_to_end().await?;
        Ok(letters
            .iter()
            .filter_map(DeadLetter::read)
            .filter(|letter| letter.consumer == self.consumer)
            .map(|letter| letter.original.position())
            .collect())
    }
}
