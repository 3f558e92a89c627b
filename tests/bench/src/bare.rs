//! The bare Kafka client, appending the very bytes that the gateway appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use platform_log::{PartitionReader, Record, TopicSpec};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, FutureProducer, FutureRecord, ProducerContext, ThreadedProducer,
};
use tokio::task::JoinSet;

use crate::bed::Bed;
use crate::harness::{quantile, rate};

const TOPICS: [&str; 2] = ["mesh.decisions", "mesh.deliveries"];
/// Pairs of records that are sent again and again.
const PAIRS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A producer without anything of ours around it.
pub(crate) struct Bare {
    pairs: Vec<[Record; 2]>,
    loaded: ThreadedProducer<Counter>,
    counter: Arc<AtomicUsize>,
    /// As soon as it can, and as the gateway is set.
    hasty: FutureProducer,
    lingering: FutureProducer,
    prefix: String,
}

impl Bare {
    /// Takes its records from what the gateway left on the log of `bed`.
    pub(crate) async fn of(bed: &Bed) -> anyhow::Result<Self> {
        let topics = TOPICS.map(|topic| TopicSpec::new(bare(topic), bed.settings.kafka.partitions));
        bed.admin.ensure_topics(&topics).await?;
        let mut taken = Vec::new();
        for topic in TOPICS {
            let from = (0..i32::try_from(bed.settings.kafka.partitions)?).map(|n| (n, -1));
            let mut reader = PartitionReader::open(&bed.settings.kafka, topic, from)?;
            let mut records = Vec::new();
            while records.len() < PAIRS {
                let more = reader.next(PAIRS, PATIENCE).await?;
                ensure!(!more.is_empty(), "{topic} has too few records");
                records.extend(more);
            }
            taken.push(records);
        }
        let [decisions, deliveries] =
            <[Vec<Record>; 2]>::try_from(taken).map_err(|_| anyhow!("two topics"))?;
        let pairs = decisions
            .into_iter()
            .zip(deliveries)
            .map(|(decision, delivery)| [decision, delivery])
            .take(PAIRS)
            .collect();
        let kafka = &bed.settings.kafka;
        let config = |linger: u32| {
            let mut config = ClientConfig::new();
            config
                .set("bootstrap.servers", &kafka.brokers)
                .set("enable.idempotence", "true")
                .set("acks", "all")
                .set("partitioner", "murmur2_random")
                .set("compression.type", "lz4")
                .set("socket.nagle.disable", "true")
                .set("linger.ms", linger.to_string())
                .set(
                    "queue.buffering.max.messages",
                    kafka.queue_max_messages.to_string(),
                );
            config
        };
        let counter = Arc::new(AtomicUsize::new(0));
        Ok(Self {
            pairs,
            loaded: config(kafka.linger_ms).create_with_context(Counter(counter.clone()))?,
            counter,
            hasty: FutureProducer::from_config(&config(0))?,
            lingering: FutureProducer::from_config(&config(kafka.linger_ms))?,
            prefix: kafka.topic_prefix.clone(),
        })
    }

    /// K: how many deliveries, of two records each, are acknowledged in a second.
    pub(crate) async fn deliveries_per_second(&self, count: usize) -> anyhow::Result<f64> {
        self.counter.store(0, Ordering::Relaxed);
        let started = Instant::now();
        // The driver's threads do the work; this one only feeds them.
        tokio::task::block_in_place(|| self.send_all(count))?;
        while self.counter.load(Ordering::Relaxed) < 2 * count {
            ensure!(
                started.elapsed() < PATIENCE,
                "not everything was acknowledged"
            );
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Ok(rate(count, started.elapsed()))
    }

    fn send_all(&self, count: usize) -> anyhow::Result<()> {
        for pair in self.pairs.iter().cycle().take(count) {
            for record in pair {
                loop {
                    let topic = self.topic(record);
                    let mut message = BaseRecord::<[u8], [u8]>::to(&topic).headers(headers(record));
                    message.key = record.key.as_deref();
                    message.payload = record.value.as_deref();
                    match self.loaded.send(message) {
                        Ok(()) => break,
                        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                            std::thread::sleep(Duration::from_micros(200));
                        }
                        Err((error, _)) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(())
    }

    /// Seconds until both records of a delivery are acknowledged, one delivery
    /// at a time.
    pub(crate) async fn acknowledged_p50(&self, count: usize) -> anyhow::Result<f64> {
        let mut seconds = Vec::with_capacity(count);
        for pair in self.pairs.iter().cycle().take(count) {
            let started = Instant::now();
            self.append(&self.hasty, pair).await?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        Ok(quantile(&mut seconds, 0.5))
    }

    /// Seconds from when a delivery was due until it was acknowledged.
    pub(crate) async fn p99_at(&self, count: usize, per_second: f64) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for (n, pair) in self.pairs.iter().cycle().take(count).enumerate() {
            let due = begun + Duration::from_secs_f64(n as f64 / per_second);
            tokio::time::sleep_until(due.into()).await;
            let sent = pair
                .each_ref()
                .map(|record| send(&self.lingering, &self.topic(record), record));
            let [decision, delivery] = sent;
            let (decision, delivery) = (decision?, delivery?);
            tasks.spawn(async move {
                let acknowledged = decision.await.is_ok_and(|result| result.is_ok())
                    && delivery.await.is_ok_and(|result| result.is_ok());
                (acknowledged, due.elapsed().as_secs_f64())
            });
        }
        let mut seconds = Vec::with_capacity(count);
        while let Some(done) = tasks.join_next().await {
            let (acknowledged, after) = done?;
            ensure!(acknowledged, "a record was not acknowledged");
            seconds.push(after);
        }
        Ok(quantile(&mut seconds, 0.99))
    }

    async fn append(&self, producer: &FutureProducer, pair: &[Record; 2]) -> anyhow::Result<()> {
        let [decision, delivery] = pair
            .each_ref()
            .map(|record| send(producer, &self.topic(record), record));
        let (decision, delivery) = (decision?, delivery?);
        decision.await?.map_err(|(error, _)| error)?;
        delivery.await?.map_err(|(error, _)| error)?;
        Ok(())
    }

    fn topic(&self, record: &Record) -> String {
        format!("{}{}", self.prefix, bare(&record.topic))
    }
}

fn bare(topic: &str) -> String {
    format!("bare.{topic}")
}

fn send(
    producer: &FutureProducer,
    topic: &str,
    record: &Record,
) -> anyhow::Result<rdkafka::producer::DeliveryFuture> {
    let mut message = FutureRecord::<[u8], [u8]>::to(topic).headers(headers(record));
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    producer
        .send_result(message)
        .map_err(|(error, _)| error.into())
}

fn headers(record: &Record) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    record.headers.iter().fold(empty, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

/// Counts what was acknowledged.
struct Counter(Arc<AtomicUsize>);

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
