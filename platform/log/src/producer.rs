use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Histogram, counter, histogram};
use platform_config::Kafka;
use platform_telemetry::names::metric;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::sync::Notify;

use crate::ack::{Batch, Slot};
use crate::client;
use crate::events::Events;
use crate::queues::{Queues, Which};
use crate::topics::Topics;
use crate::{Error, Outgoing, Position};

/// The largest record there may be; topics are created with the same limit.
pub(crate) const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// The longest wait before a full queue is tried again.
const ROOM: Duration = Duration::from_millis(5);

/// Records under way up to which the next one goes out at once.
const FEW: i32 = 8;

static APPEND_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    platform_telemetry::install_recorder();
    histogram!(metric::LOG_APPEND_SECONDS)
});

type Client = ThreadedProducer<Events>;

/// Appends records, idempotently and acknowledged by all in-sync replicas. A
/// clone shares the queue and the connection.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Kafka,
    topics: Topics,
    space: Arc<Notify>,
    queues: Arc<Queues>,
    /// Lets records gather for the linger time: fewer and larger requests, which
    /// is what a loaded broker wants. Each of the two is replaced after a fatal
    /// error, from which the driver never recovers.
    gathering: Mutex<Arc<Client>>,
    /// Sends at once: while little is under way, waiting for company is in vain.
    hasty: Mutex<Arc<Client>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("brokers", &self.shared.settings.brokers)
            .finish()
    }
}

impl Producer {
    /// Does not wait for a broker.
    ///
    /// # Errors
    /// When the driver refuses a setting.
    pub fn new(settings: &Kafka) -> Result<Self, Error> {
        let space = Arc::new(Notify::new());
        let queues = Arc::new(Queues::default());
        let gathering = connect(settings, Which::Gathering, &space, &queues)?;
        let hasty = connect(settings, Which::Hasty, &space, &queues)?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings: settings.clone(),
                topics: Topics::new(&settings.topic_prefix),
                space,
                queues,
                gathering: Mutex::new(Arc::new(gathering)),
                hasty: Mutex::new(Arc::new(hasty)),
            }),
        })
    }

    /// Appends one record and waits for its acknowledgement.
    ///
    /// # Errors
    /// [`Error::QueueFull`] at once when too many records wait: nothing was
    /// appended. [`Error::NotAcknowledged`] leaves open whether it was.
    pub async fn append(&self, record: Outgoing) -> Result<Position, Error> {
        let started = Instant::now();
        let client = self.client();
        let (batch, done) = Batch::open(1);
        let sent = self.send_at_once(&client, &record, &batch);
        batch.close();
        sent?;
        let mut positions = self
            .acknowledged(&client, &[record], &batch, done, started)
            .await?;
        positions.pop().ok_or(Error::Cancelled)
    }

    /// Appends records in this order and waits for all acknowledgements. When
    /// the queue is full it waits for room, up to the message timeout.
    ///
    /// # Errors
    /// When one record is refused or not acknowledged. Some of the others may
    /// then stand on the log: append all of them again, under the same ids.
    pub async fn append_all(&self, records: Vec<Outgoing>) -> Result<Vec<Position>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let started = Instant::now();
        let timeout = Duration::from_millis(self.shared.settings.message_timeout_ms.into());
        let client = self.client();
        let (batch, done) = Batch::open(records.len());
        let mut refused = None;
        for (index, record) in records.iter().enumerate() {
            let sent = self.send_with_room(&client, record, &batch, index, started + timeout);
            if let Err(error) = sent.await {
                refused = Some(error);
                break;
            }
        }
        batch.close();
        let positions = self
            .acknowledged(&client, &records, &batch, done, started)
            .await;
        match refused {
            Some(error) => Err(error),
            None => positions,
        }
    }

    /// Appends a record without waiting, for what may be lost. A failure is
    /// counted and logged.
    pub fn append_detached(&self, record: Outgoing) {
        let client = self.client();
        let (batch, done) = Batch::open(1);
        let sent = self.send_at_once(&client, &record, &batch);
        batch.close();
        match (sent, tokio::runtime::Handle::try_current()) {
            (Err(error), _) => {
                tracing::warn!(topic = record.topic, %error, "record not appended");
            }
            (Ok(()), Ok(runtime)) => {
                let producer = self.clone();
                runtime.spawn(async move {
                    let topic = record.topic;
                    let acknowledged = producer
                        .acknowledged(&client, &[record], &batch, done, Instant::now())
                        .await;
                    if let Err(error) = acknowledged {
                        tracing::warn!(topic, %error, "record not appended");
                    }
                });
            }
            (Ok(()), Err(_)) => {}
        }
    }

    /// Waits until everything sent so far is acknowledged or has failed.
    ///
    /// # Errors
    /// When that takes longer than `timeout`.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let clients = [current(&self.shared.hasty), current(&self.shared.gathering)];
        let deadline = Instant::now() + timeout;
        let flush = move || {
            clients.iter().try_for_each(|client| {
                client.flush(deadline.saturating_duration_since(Instant::now()))
            })
        };
        tokio::task::spawn_blocking(flush)
            .await
            .map_err(|_| Error::Cancelled)?
            .map_err(|source| Error::Flush { source })
    }

    /// How many records wait for their acknowledgement.
    pub fn in_flight(&self) -> usize {
        [&self.shared.hasty, &self.shared.gathering]
            .into_iter()
            .map(|client| usize::try_from(current(client).in_flight_count()).unwrap_or(0))
            .sum()
    }

    fn send_at_once(
        &self,
        client: &Client,
        record: &Outgoing,
        batch: &Arc<Batch>,
    ) -> Result<(), Error> {
        match self.send(client, record, batch, 0) {
            Err(Error::QueueFull) => Err(refused(record, "queue_full", Error::QueueFull)),
            sent => sent,
        }
    }

    async fn send_with_room(
        &self,
        client: &Client,
        record: &Outgoing,
        batch: &Arc<Batch>,
        index: usize,
        deadline: Instant,
    ) -> Result<(), Error> {
        loop {
            // Listen before trying, so that room made in between is noticed.
            let room = self.shared.space.notified();
            match self.send(client, record, batch, index) {
                Err(Error::QueueFull) if Instant::now() >= deadline => {
                    return Err(refused(record, "queue_full", Error::QueueFull));
                }
                Err(Error::QueueFull) => {
                    // The driver counts a record out only some time after its
                    // acknowledgement, and says nothing then.
                    let _ = tokio::time::timeout(ROOM, room).await;
                }
                sent => return sent,
            }
        }
    }

    fn send(
        &self,
        client: &Client,
        record: &Outgoing,
        batch: &Arc<Batch>,
        index: usize,
    ) -> Result<(), Error> {
        if let Err(error) = record.check_size() {
            return Err(refused(record, "too_large", error));
        }
        let topic = self.shared.topics.named(record.topic).full_name();
        let mut message: BaseRecord<'_, [u8], [u8], Box<Slot>> =
            BaseRecord::with_opaque_to(topic, Box::new(batch.slot(index)))
                .headers(to_driver(record));
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.partition = record.partition;
        let Err((source, _)) = client.send(message) else {
            return Ok(());
        };
        Err(match source.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Error::QueueFull,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => refused(
                record,
                "too_large",
                Error::TooLarge {
                    topic: record.topic.to_owned(),
                    bytes: record.size(),
                },
            ),
            _ => {
                self.replace_if_broken(client);
                refused(
                    record,
                    "refused",
                    Error::NotAcknowledged {
                        topic: record.topic.to_owned(),
                        source,
                    },
                )
            }
        })
    }

    async fn acknowledged(
        &self,
        client: &Client,
        records: &[Outgoing],
        batch: &Batch,
        done: tokio::sync::oneshot::Receiver<()>,
        started: Instant,
    ) -> Result<Vec<Position>, Error> {
        // The batch is done even when some records were never sent.
        done.await.map_err(|_| Error::Cancelled)?;
        let places = match batch.outcome() {
            Ok(places) => places,
            Err((index, source)) => {
                self.replace_if_broken(client);
                let topic = records.get(index).map_or("", |record| record.topic);
                counter!(metric::LOG_APPEND_FAILED, "topic" => topic, "reason" => "not_acknowledged")
                    .increment(1);
                return Err(Error::NotAcknowledged {
                    topic: topic.to_owned(),
                    source,
                });
            }
        };
        APPEND_SECONDS.record(started.elapsed().as_secs_f64());
        let mut positions = Vec::with_capacity(records.len());
        for (record, place) in records.iter().zip(places) {
            let Some((partition, offset)) = place else {
                return Err(Error::Cancelled);
            };
            self.shared
                .topics
                .named(record.topic)
                .appended()
                .increment(1);
            positions.push(Position {
                topic: record.topic.to_owned(),
                partition,
                offset,
            });
        }
        Ok(positions)
    }

    /// The client for the next append. One append goes through one client, and
    /// who waits for an acknowledgement before appending again keeps the order
    /// whichever it is.
    fn client(&self) -> Arc<Client> {
        let gathering = current(&self.shared.gathering);
        if gathering.in_flight_count() > 0 {
            return gathering;
        }
        let hasty = current(&self.shared.hasty);
        if hasty.in_flight_count() < FEW {
            hasty
        } else {
            gathering
        }
    }

    /// An idempotent producer that lost track of its sequence numbers refuses
    /// everything from then on. Readers drop duplicates by event id, so a new
    /// one may go on.
    fn replace_if_broken(&self, broken: &Client) {
        let Some((code, reason)) = broken.client().fatal_error() else {
            return;
        };
        let shared = &self.shared;
        for (place, which) in [
            (&shared.gathering, Which::Gathering),
            (&shared.hasty, Which::Hasty),
        ] {
            let mut current = place.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::ptr::eq(Arc::as_ptr(&current), broken) {
                continue;
            }
            tracing::error!(error.code = %code, reason, "producer failed for good and is replaced");
            match connect(&shared.settings, which, &shared.space, &shared.queues) {
                Ok(client) => {
                    let old = std::mem::replace(&mut *current, Arc::new(client));
                    // Dropping the driver waits for its thread.
                    std::thread::spawn(move || drop(old));
                }
                Err(error) => tracing::error!(%error, "producer cannot be replaced"),
            }
        }
    }
}

fn current(client: &Mutex<Arc<Client>>) -> Arc<Client> {
    client
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn connect(
    settings: &Kafka,
    which: Which,
    space: &Arc<Notify>,
    queues: &Arc<Queues>,
) -> Result<Client, Error> {
    let linger_ms = match which {
        Which::Gathering => settings.linger_ms,
        Which::Hasty => 0,
    };
    let mut config = client::config(settings);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // As the Java client does, so that all clients agree on a key's partition.
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", linger_ms.to_string())
        .set(
            "message.timeout.ms",
            settings.message_timeout_ms.to_string(),
        )
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
        .set(
            "queue.buffering.max.messages",
            settings.queue_max_messages.to_string(),
        )
        .set(
            "queue.buffering.max.kbytes",
            (settings.queue_max_bytes / 1_024)
                .clamp(1, 2_147_483_647)
                .to_string(),
        );
    let events = Events::new(which, space.clone(), queues.clone(), &settings.topic_prefix);
    config
        .create_with_context(events)
        .map_err(|source| Error::Client { source })
}

fn to_driver(record: &Outgoing) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    record.headers.iter().fold(empty, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(&value[..]),
        })
    })
}

fn refused(record: &Outgoing, reason: &'static str, error: Error) -> Error {
    counter!(metric::LOG_APPEND_FAILED, "topic" => record.topic, "reason" => reason).increment(1);
    error
}
