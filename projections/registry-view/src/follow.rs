use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use domain_kernel::EventId;
use platform_config::{Kafka, Settings};
use platform_log::{Decoder, PartitionReader, Record, SchemaRegistry};
use schemas::Registry;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::apply::Snapshot;
use crate::error::Error;
use crate::project::{Change, project};

const TOPIC: &str = "mesh.registry";
/// The registry's topic has one partition: its events are in one order.
const PARTITION: i32 = 0;
const BATCH: usize = 1_000;
const POLL: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The registry as this process knows it. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct RegistryView {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// None for a view that follows nothing.
    kafka: Option<Kafka>,
    snapshot: ArcSwap<Snapshot>,
    progress: watch::Sender<Progress>,
    connected: AtomicBool,
    awaited: Mutex<HashMap<EventId, oneshot::Sender<bool>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    next_offset: i64,
    caught_up: bool,
}

/// An event somebody is about to append and wants to see in the view.
#[derive(Debug)]
pub struct Awaited {
    id: EventId,
    receiver: oneshot::Receiver<bool>,
    shared: Arc<Shared>,
}

impl RegistryView {
    /// Starts reading `mesh.registry` from its start and follows it until
    /// `shutdown`. Servers that are away are waited for.
    pub fn follow(
        settings: &Settings,
        schema_registry: SchemaRegistry,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let view = Self::of(Some(settings.kafka.clone()));
        let follower = Follower {
            shared: view.shared.clone(),
            kafka: settings.kafka.clone(),
            decoder: Decoder::new(schema_registry),
        };
        let task = tokio::spawn(async move {
            shutdown.run_until_cancelled(follower.run()).await;
        });
        (view, task)
    }

    /// A view that follows nothing, to be filled by `apply`: for tests.
    pub fn empty() -> Self {
        Self::of(None)
    }

    fn of(kafka: Option<Kafka>) -> Self {
        Self {
            shared: Arc::new(Shared {
                kafka,
                snapshot: ArcSwap::default(),
                progress: watch::Sender::default(),
                connected: AtomicBool::new(false),
                awaited: Mutex::default(),
            }),
        }
    }

    /// What is registered now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// Returns once all that was on the topic when the view was opened has been
    /// taken in. Never returns while the servers are away.
    pub async fn caught_up(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self
            .shared
            .progress
            .subscribe()
            .wait_for(|progress| progress.caught_up)
            .await;
    }

    pub fn is_caught_up(&self) -> bool {
        self.shared.progress.borrow().caught_up
    }

    /// Whether the log was in reach when last heard of. A view that is not
    /// connected keeps what it has, which may be out of date.
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Returns once everything that is on the topic now has been taken in.
    /// Never returns while the servers are away.
    pub async fn read_to_end(&self) {
        let mut pause = FIRST_PAUSE;
        while let Some(kafka) = &self.shared.kafka {
            let reader = PartitionReader::open(kafka, TOPIC, [(PARTITION, 0)]);
            let end = match reader {
                Ok(reader) => end_of(&reader).await,
                Err(error) => Err(Error::Open(error)),
            };
            match end {
                Ok(end) => {
                    self.reached(end).await;
                    return;
                }
                Err(error) => {
                    warn!(error = %error, cause = ?error, "registry view cannot learn where the log ends");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Returns once the record before `next_offset` has been taken in.
    pub async fn reached(&self, next_offset: i64) {
        let _ = self
            .shared
            .progress
            .subscribe()
            .wait_for(|progress| progress.next_offset >= next_offset)
            .await;
    }

    /// Returns after the next change of what is registered. Take this before
    /// the snapshot it is compared with, so that no change falls in between.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut progress = self.shared.progress.subscribe();
        progress.mark_unchanged();
        async move {
            // The view being gone is a change as well.
            let _ = progress.changed().await;
        }
    }

    /// Announces the event `id`, before it is appended, to learn what became of it.
    pub fn expect(&self, id: EventId) -> Awaited {
        let (sender, receiver) = oneshot::channel();
        self.shared.awaited().insert(id, sender);
        Awaited {
            id,
            receiver,
            shared: self.shared.clone(),
        }
    }

    /// Takes in changes as if they had been read from the topic.
    pub fn apply(&self, changes: Vec<Change>) {
        let next_offset = self.shared.progress.borrow().next_offset
            + i64::try_from(changes.len()).unwrap_or(i64::MAX);
        self.shared.take_in(changes, next_offset);
        self.shared.caught_up();
    }
}

impl Awaited {
    /// True when the event was the first at its version, false when another
    /// one was. Waits until it has been read back.
    ///
    /// # Errors
    /// When the view stops first.
    pub async fn won(mut self) -> Result<bool, Error> {
        (&mut self.receiver).await.map_err(|_| Error::Stopped)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.shared.awaited().remove(&self.id);
    }
}

impl Shared {
    fn awaited(&self) -> MutexGuard<'_, HashMap<EventId, oneshot::Sender<bool>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, changes: Vec<Change>, next_offset: i64) {
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let id = change.event_id;
            // A record read twice is not an event that lost to itself.
            let again = snapshot
                .entry(change.kind, &change.id)
                .is_some_and(|entry| entry.event_id == id);
            outcomes.push((id, snapshot.apply(change) || again));
        }
        snapshot.next_offset = next_offset;
        self.snapshot.store(Arc::new(snapshot));
        self.progress
            .send_modify(|progress| progress.next_offset = next_offset);
        let mut awaited = self.awaited();
        for (id, won) in outcomes {
            if let Some(sender) = awaited.remove(&id) {
                // Whoever gave up waiting does not want to know.
                let _ = sender.send(won);
            }
        }
    }

    fn caught_up(&self) {
        self.progress
            .send_if_modified(|progress| !std::mem::replace(&mut progress.caught_up, true));
    }
}

/// Where the topic ends now.
async fn end_of(reader: &PartitionReader) -> Result<i64, Error> {
    let ends = reader.high_watermarks().await.map_err(Error::Open)?;
    Ok(ends
        .into_iter()
        .find(|(partition, _)| *partition == PARTITION)
        .map_or(0, |(_, end)| end))
}

struct Follower {
    shared: Arc<Shared>,
    kafka: Kafka,
    decoder: Decoder<Registry>,
}

impl Follower {
    /// Reads for ever. A reader that fails is replaced by one that goes on
    /// where the view stands.
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let from = self.shared.snapshot.load().next_offset;
            if let Err(error) = self.read_from(from).await {
                self.shared.connected.store(false, Ordering::Relaxed);
                warn!(error = %error, cause = ?error, "registry view lost the log, trying again");
            }
            let advanced = self.shared.snapshot.load().next_offset > from;
            pause = if advanced {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn read_from(&self, from: i64) -> Result<(), Error> {
        let mut reader =
            PartitionReader::open(&self.kafka, TOPIC, [(PARTITION, from)]).map_err(Error::Open)?;
        let end = end_of(&reader).await?;
        loop {
            let next_offset = self.shared.snapshot.load().next_offset;
            if next_offset >= end && !self.shared.progress.borrow().caught_up {
                info!(
                    registry.next_offset = next_offset,
                    "registry view caught up"
                );
                self.shared.caught_up();
            }
            let records = reader.next(BATCH, POLL).await.map_err(Error::Read)?;
            self.shared
                .connected
                .store(reader.connected(), Ordering::Relaxed);
            let Some(last) = records.last() else {
                continue;
            };
            let next_offset = last.offset + 1;
            let mut changes = Vec::with_capacity(records.len());
            for record in &records {
                changes.extend(self.decode(record).await);
            }
            self.shared.take_in(changes, next_offset);
        }
    }

    /// The change of one record; none when it cannot be read by anybody. While
    /// its schema cannot be fetched it is waited for, not skipped.
    async fn decode(&self, record: &Record) -> Option<Change> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.decoder.decode(record).await {
                Ok(recorded) => return Some(project(recorded)),
                Err(error) if error.is_transient() => {
                    warn!(error = %error, record.offset = record.offset, "registry view waits for a schema");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    error!(error = %error, record.offset = record.offset, "registry record is not readable and is left out");
                    metrics::counter!("agentmesh_registry_view_poison_records_total").increment(1);
                    return None;
                }
            }
        }
    }
}
