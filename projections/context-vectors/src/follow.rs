use std::sync::Arc;
use std::time::Duration;

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use metrics::counter;
use platform_config::Kafka;
use platform_embed::Embedder;
use platform_log::{Decoder, PartitionReader, Record};
use schemas::Contexts;
use tracing::warn;

use crate::{Error, PartitionIndex, TOPIC, project};

pub(crate) const BATCH: usize = 1_000;
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// Folds the log into indexes.
pub(crate) struct Follower {
    pub(crate) kafka: Kafka,
    pub(crate) decoder: Decoder<Contexts>,
    pub(crate) embedder: Arc<dyn Embedder>,
}

impl Follower {
    /// Reads what the log has beyond the index, up to where it ends now.
    pub(crate) async fn catch_up(
        &self,
        partition: i32,
        index: &mut PartitionIndex,
    ) -> Result<(), Error> {
        let from = [(partition, index.next_offset())];
        let mut reader = PartitionReader::open(&self.kafka, TOPIC, from)?;
        let ends = reader.high_watermarks().await?;
        let end = ends.first().map_or(0, |(_, end)| *end);
        if index.next_offset() > end {
            // The file speaks of another log than the one there is.
            warn!(
                messaging.kafka.partition = partition,
                "vector file is ahead of the log and is built again"
            );
            *index = PartitionIndex::new(self.embedder.dimensions())?;
            reader = PartitionReader::open(&self.kafka, TOPIC, [(partition, 0)])?;
        }
        while !reader.has_reached(&ends) {
            for record in reader.next(BATCH, POLL).await? {
                let event = self.read(&record).await?;
                self.fold(index, &record, event)?;
            }
        }
        index.vectors.absorb(usize::MAX)?;
        Ok(())
    }

    /// The event of a record; none when nobody can ever read it.
    pub(crate) async fn read(
        &self,
        record: &Record,
    ) -> Result<Option<Recorded<ContextEvent>>, Error> {
        match self.decoder.decode(record).await {
            Ok(recorded) => Ok(Some(recorded)),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => {
                warn!(%error, record.offset = record.offset, "context record is not readable and is left out");
                counter!("agentmesh_context_vectors_poison_records_total").increment(1);
                Ok(None)
            }
        }
    }

    pub(crate) fn fold(
        &self,
        index: &mut PartitionIndex,
        record: &Record,
        event: Option<Recorded<ContextEvent>>,
    ) -> Result<(), Error> {
        if let Some(recorded) = event {
            for change in project(&recorded, &record.position()) {
                index.fold(change, self.embedder.as_ref())?;
            }
        }
        index.skip(record.offset);
        Ok(())
    }
}
