//! Reading records without a thread or a task for each: the driver's queue is
//! polled until it is empty, and its wake-up is waited for.

use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::gauge;
use platform_config::Kafka;
use platform_telemetry::names::metric;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::{self, Statistics};
use crate::headers::Packing;
use crate::producer::MAX_RECORD_BYTES;
use crate::{Error, Record};

/// The longest the queue goes unpolled: the group takes silence for death.
const POLL: Duration = Duration::from_millis(500);

/// A batch ends when it holds so much: records may be large, and memory is not.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What the headers of a record of ours take, roughly.
const HEADER_BYTES: usize = 512;

/// What a header is called here whose name is not text.
const NOT_TEXT: &str = "\u{fffd}";

/// One answer of the broker, over all partitions; no record is larger.
const FETCH_BYTES: usize = 2 * MAX_RECORD_BYTES;

/// A change of ownership, as topic (with prefix) and partition.
#[derive(Debug)]
pub(crate) enum Change {
    Assigned(Vec<(String, i32)>),
    /// All that was assigned: the range protocol revokes everything at once.
    Revoked,
    /// As `Revoked`, but the group did not wait for us.
    Lost,
}

#[derive(Debug)]
pub(crate) enum Polled {
    Records(Vec<Record>),
    Change(Change),
}

pub(crate) struct Poller {
    /// Emptied only when the poller is dropped.
    consumer: Option<Arc<BaseConsumer<Events>>>,
    shared: Arc<Shared>,
    prefix: String,
    name: String,
}

struct Shared {
    name: String,
    prefix: String,
    in_group: bool,
    wake: Notify,
    /// Whether the last poll served something that is not a record.
    served: AtomicBool,
    closing: AtomicBool,
    connected: AtomicBool,
    changes: Mutex<VecDeque<Change>>,
}

impl Poller {
    /// `name` stands in errors, logs and metrics.
    pub(crate) fn open(
        settings: &Kafka,
        name: &str,
        in_group: bool,
        configure: impl FnOnce(&mut ClientConfig),
    ) -> Result<Self, Error> {
        let mut config = client::config(settings);
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "false")
            .set("fetch.wait.max.ms", "250")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "100")
            // Together they bound what a reader holds, however far it is behind:
            // what is queued, one answer of the broker, and the batch at hand.
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", "32768")
            .set("fetch.max.bytes", FETCH_BYTES.to_string());
        configure(&mut config);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            prefix: settings.topic_prefix.clone(),
            in_group,
            wake: Notify::new(),
            served: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            connected: AtomicBool::new(true),
            changes: Mutex::new(VecDeque::new()),
        });
        let mut consumer: BaseConsumer<Events> = config
            .create_with_context(Events(shared.clone()))
            .map_err(|source| Error::Client { source })?;
        let waker = shared.clone();
        consumer.set_nonempty_callback(move || waker.wake.notify_one());
        Ok(Self {
            consumer: Some(Arc::new(consumer)),
            shared,
            prefix: settings.topic_prefix.clone(),
            name: name.to_owned(),
        })
    }

    pub(crate) fn consumer(&self) -> Result<&Arc<BaseConsumer<Events>>, Error> {
        self.consumer.as_ref().ok_or(Error::Cancelled)
    }

    pub(crate) fn broker_topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    pub(crate) fn logical<'a>(&self, topic: &'a str) -> &'a str {
        topic.strip_prefix(self.prefix.as_str()).unwrap_or(topic)
    }

    pub(crate) fn failed(&self, source: KafkaError) -> Error {
        Error::Consume {
            reader: self.name.clone(),
            source,
        }
    }

    pub(crate) fn connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn change_is_waiting(&self) -> bool {
        !self.shared.changes().is_empty()
    }

    /// The next change of ownership, or up to `max` records as soon as there
    /// are any, or none after `wait`. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&self, max: usize, wait: Duration) -> Result<Polled, Error> {
        let deadline = Instant::now() + wait;
        loop {
            let records = self.drain(max)?;
            if !records.is_empty() {
                return Ok(Polled::Records(records));
            }
            if let Some(change) = self.shared.changes().pop_front() {
                return Ok(Polled::Change(change));
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(Polled::Records(Vec::new()));
            }
            let until = deadline.min(now + POLL);
            // Either way the queue is polled again.
            let _ = tokio::time::timeout_at(until, self.shared.wake.notified()).await;
        }
    }

    fn drain(&self, max: usize) -> Result<Vec<Record>, Error> {
        let consumer = self.consumer()?;
        let mut records = Vec::new();
        let mut bytes = 0;
        // What comes after a change belongs to the time after it.
        while records.len() < max && bytes < BATCH_BYTES && !self.change_is_waiting() {
            self.shared.served.store(false, Ordering::Relaxed);
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    records.push(self.record(&message));
                }
                Some(Err(error)) => {
                    self.note(&error);
                    // The records before it must not be lost; what lasts comes again.
                    if records.is_empty() {
                        return Err(self.failed(error));
                    }
                    tracing::warn!(reader = self.name, %error, "log cannot be read");
                    break;
                }
                None if self.shared.served.load(Ordering::Relaxed) => {}
                None => break,
            }
        }
        if !records.is_empty() {
            self.shared.connected.store(true, Ordering::Relaxed);
        }
        Ok(records)
    }

    fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.shared.connected.store(false, Ordering::Relaxed);
        }
    }

    /// Key, value and headers lie in one allocation, of which they are slices.
    fn record(&self, message: &BorrowedMessage<'_>) -> Record {
        let (key, payload) = (message.key(), message.payload());
        let of = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let (key_end, payload_end) = (of(key), of(key) + of(payload));
        let mut joined = Vec::with_capacity(payload_end + HEADER_BYTES);
        joined.extend_from_slice(key.unwrap_or_default());
        joined.extend_from_slice(payload.unwrap_or_default());
        let found = message.headers();
        let count = found.map_or(0, Headers::count);
        let mut packing = Packing::behind(joined, count);
        if let Some(found) = found {
            for index in 0..count {
                let (name, value) = header(found, index);
                packing.put(name, value);
            }
        }
        let (headers, joined) = packing.finish();
        Record {
            topic: self.logical(message.topic()).to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            key: key.map(|_| joined.slice(..key_end)),
            headers,
            value: payload.map(|_| joined.slice(key_end..payload_end)),
        }
    }

    /// Leaves the group and closes all connections.
    pub(crate) async fn close(mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let consumer = self.consumer.take();
        // Closing talks to the broker, on the thread that does it.
        let closed = tokio::task::spawn_blocking(move || drop(consumer)).await;
        if closed.is_err() {
            tracing::warn!(reader = self.name, "reader was not closed");
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        if let Some(consumer) = self.consumer.take() {
            // Closing talks to the broker: not on a thread that others need.
            std::thread::spawn(move || drop(consumer));
        }
    }
}

/// One header, without a value where it is null. The driver's binding panics over
/// a name that is not text, which anyone may write to a topic: such a header
/// comes under [`NOT_TEXT`] and without its value, and the others are read.
fn header(found: &BorrowedHeaders, index: usize) -> (&str, &[u8]) {
    match catch_unwind(|| found.get(index)) {
        Ok(header) => (header.key, header.value.unwrap_or_default()),
        Err(_) => (NOT_TEXT, &[]),
    }
}

impl Shared {
    fn changes(&self) -> std::sync::MutexGuard<'_, VecDeque<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the driver tells the reader, from within a poll.
pub(crate) struct Events(Arc<Shared>);

impl Events {
    fn served(&self) {
        self.0.served.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.served();
        client::log(level, facility, line);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.served();
        let Some(statistics) = Statistics::parse(json) else {
            return;
        };
        self.0
            .connected
            .store(statistics.any_broker_is_up(), Ordering::Relaxed);
        if !self.0.in_group {
            return;
        }
        for topic in statistics.topics.values() {
            let name = topic.topic.strip_prefix(&self.0.prefix);
            for partition in topic.partitions.values() {
                // Negative where the client does not know, or does not own it.
                if partition.partition >= 0 && partition.consumer_lag >= 0 {
                    gauge!(
                        metric::LOG_CONSUMER_LAG,
                        "group" => self.0.name.clone(),
                        "topic" => name.unwrap_or(&topic.topic).to_owned(),
                        "partition" => partition.partition.to_string(),
                    )
                    .set(partition.consumer_lag as f64);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(reader = self.0.name, %error, reason, "reader has an error");
    }
}

impl ConsumerContext for Events {
    /// Only takes note: the partitions change hands when the owner says so, by
    /// [`crate::GroupConsumer`].
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.served();
        if self.0.closing.load(Ordering::Relaxed) {
            // Nobody is left to say so, and the group waits.
            if let Err(error) = consumer.unassign() {
                tracing::warn!(reader = self.0.name, %error, "partitions not given up");
            }
            return;
        }
        let change = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(
                partitions
                    .elements()
                    .iter()
                    .map(|element| (element.topic().to_owned(), element.partition()))
                    .collect(),
            ),
            _ if consumer.assignment_lost() => Change::Lost,
            _ => Change::Revoked,
        };
        self.0.changes().push_back(change);
        self.0.wake.notify_one();
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.served();
        if let Err(error) = result {
            // Committed offsets only serve those who watch the lag.
            tracing::debug!(group = self.0.name, %error, "offsets not committed to the group");
        }
    }
}
