use std::collections::BTreeMap;
use std::time::Duration;

use platform_config::Kafka;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::poller::{Polled, Poller};
use crate::{Error, Record, client};

/// How long the broker may take to tell where a partition stood at a time.
const ASK: Duration = Duration::from_secs(10);
const BATCH: usize = 10_000;
const WAIT: Duration = Duration::from_secs(1);

/// Reads given partitions of one topic from given offsets, outside of any group.
pub struct PartitionReader {
    poller: Poller,
    topic: String,
    /// The next offset of each partition.
    next: BTreeMap<i32, i64>,
}

impl std::fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionReader")
            .field("topic", &self.topic)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl PartitionReader {
    /// `from` gives the offset to read first of each partition; a negative one
    /// stands for the beginning. Does not wait for a broker.
    ///
    /// # Errors
    /// When the driver refuses a setting.
    pub fn open(
        settings: &Kafka,
        topic: &str,
        from: impl IntoIterator<Item = (i32, i64)>,
    ) -> Result<Self, Error> {
        let poller = Poller::open(settings, topic, false, |config| {
            // The driver wants a name even where no group is joined.
            config.set(
                "group.id",
                format!("{}agentmesh-reader", settings.topic_prefix),
            );
        })?;
        let next: BTreeMap<i32, i64> = from.into_iter().collect();
        let name = poller.broker_topic(topic);
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (partition, offset) in &next {
            let offset = match offset {
                offset if *offset < 0 => Offset::Beginning,
                offset => Offset::Offset(*offset),
            };
            list.add_partition_offset(&name, *partition, offset)
                .map_err(|source| poller.failed(source))?;
        }
        poller
            .consumer()?
            .assign(&list)
            .map_err(|source| poller.failed(source))?;
        Ok(Self {
            poller,
            topic: topic.to_owned(),
            next,
        })
    }

    /// Up to `max_records` records as soon as there are any, or none after
    /// `max_wait`. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the broker cannot be read from; if the error is transient, calling
    /// again goes on.
    pub async fn next(
        &mut self,
        max_records: usize,
        max_wait: Duration,
    ) -> Result<Vec<Record>, Error> {
        let Polled::Records(mut records) = self.poller.next(max_records, max_wait).await? else {
            return Ok(Vec::new());
        };
        records.retain(|record| {
            let Some(next) = self.next.get_mut(&record.partition) else {
                return false;
            };
            let fresh = record.offset >= *next;
            if fresh {
                *next = record.offset + 1;
            }
            fresh
        });
        Ok(records)
    }

    /// The next offset of each partition, as far as it was read.
    pub fn positions(&self) -> Vec<(i32, i64)> {
        self.next.iter().map(|(at, next)| (*at, *next)).collect()
    }

    /// Where each partition ends now: the offset its next record will have.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn high_watermarks(&self) -> Result<Vec<(i32, i64)>, Error> {
        let consumer = self.poller.consumer()?.clone();
        let topic = self.poller.broker_topic(&self.topic);
        let partitions: Vec<i32> = self.next.keys().copied().collect();
        let asked = tokio::task::spawn_blocking(move || {
            partitions
                .into_iter()
                .map(|partition| {
                    let end = client::high_watermark(consumer.client(), &topic, partition)?;
                    Ok((partition, end))
                })
                .collect::<Result<Vec<_>, _>>()
        });
        asked
            .await
            .map_err(|_| Error::Cancelled)?
            .map_err(|source| Error::Metadata {
                what: format!("where {} ends", self.topic),
                source,
            })
    }

    /// The first offset of each partition whose record is not older than
    /// `timestamp_ms`; none where there is no such record. A record's timestamp is
    /// its producer's clock, so that records around that time may be out of order.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn offsets_at(&self, timestamp_ms: i64) -> Result<Vec<(i32, Option<i64>)>, Error> {
        let consumer = self.poller.consumer()?.clone();
        let topic = self.poller.broker_topic(&self.topic);
        let partitions: Vec<i32> = self.next.keys().copied().collect();
        let asked = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in partitions {
                list.add_partition_offset(&topic, partition, Offset::Offset(timestamp_ms))?;
            }
            let found = consumer.offsets_for_times(list, ASK)?;
            found
                .elements()
                .iter()
                .map(|element| {
                    element.error()?;
                    let offset = match element.offset() {
                        Offset::Offset(offset) => Some(offset),
                        _ => None,
                    };
                    Ok((element.partition(), offset))
                })
                .collect::<Result<Vec<_>, rdkafka::error::KafkaError>>()
        });
        asked
            .await
            .map_err(|_| Error::Cancelled)?
            .map_err(|source| Error::Metadata {
                what: format!("where {} stood at a time", self.topic),
                source,
            })
    }

    /// Whether everything before `ends` was read.
    pub fn has_reached(&self, ends: &[(i32, i64)]) -> bool {
        ends.iter()
            .all(|(partition, end)| match self.next.get(partition) {
                Some(next) => next >= end || *end == 0,
                None => true,
            })
    }

    /// All records up to where the partitions end now. For topics that fit in
    /// memory; read others with [`next`](Self::next) until
    /// [`has_reached`](Self::has_reached).
    ///
    /// # Errors
    /// When the broker does not answer or cannot be read from.
    pub async fn read_to_end(&mut self) -> Result<Vec<Record>, Error> {
        let ends = self.high_watermarks().await?;
        let mut records = Vec::new();
        while !self.has_reached(&ends) {
            records.extend(self.next(BATCH, WAIT).await?);
        }
        Ok(records)
    }

    /// Whether a broker was in reach when last heard of.
    pub fn connected(&self) -> bool {
        self.poller.connected()
    }
}
