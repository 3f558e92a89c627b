use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use metrics::{gauge, histogram};
use platform_config::Settings;
use platform_embed::Embedder;
use platform_log::{Decoder, PartitionReader, Position, Record, SchemaRegistry};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::follow::{BATCH, Follower, POLL};
use crate::{Candidate, Error, PartitionIndex, Placement, TOPIC, file, project, query};

const PAUSE: Duration = Duration::from_secs(1);
/// Vectors moved into the graph before others may look again.
const ABSORBED: usize = 16;
/// A changed index is written after so long, or after so many records.
const SAVE_AFTER: Duration = Duration::from_secs(10);
const SAVE_RECORDS: i64 = 5_000;

/// The indexes of the partitions somebody decides over.
///
/// An index is opened when it is to be kept open, or first asked: its file, then
/// the log from where the file ends to where the log ends. [`Indexes::run`] keeps
/// it up to date from then on and writes it now and then. What was decided and is
/// perhaps not on the log yet is kept apart and forgotten by [`Indexes::reset`].
#[derive(Clone)]
pub struct Indexes {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    embedder: Arc<dyn Embedder>,
    follower: Follower,
    slots: Mutex<HashMap<i32, Arc<Mutex<Slot>>>>,
    /// The partitions that are kept open, whether anybody asks or not.
    kept_open: Mutex<BTreeSet<i32>>,
    opening: tokio::sync::Mutex<()>,
    /// How often the files had been made anew when they were last read.
    renewals: Mutex<u64>,
}

struct Slot {
    /// The fold of the log.
    durable: PartitionIndex,
    /// The fold of what was decided and not yet read back.
    ahead: PartitionIndex,
    decided: Vec<Recorded<ContextEvent>>,
    saved_offset: i64,
    saved_at: Instant,
}

impl std::fmt::Debug for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexes")
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}

impl Indexes {
    /// Files are kept in `vectors/` in the data directory.
    pub fn new(settings: &Settings, registry: SchemaRegistry, embedder: Arc<dyn Embedder>) -> Self {
        let directory = settings.data_dir.join("vectors");
        Self {
            shared: Arc::new(Shared {
                renewals: Mutex::new(file::renewals(&directory)),
                directory,
                follower: Follower {
                    kafka: settings.kafka.clone(),
                    decoder: Decoder::new(registry),
                    embedder: embedder.clone(),
                },
                embedder,
                slots: Mutex::default(),
                kept_open: Mutex::default(),
                opening: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Where a delivery belongs, given all of its partition's log and what was
    /// decided since.
    ///
    /// # Errors
    /// When the partition has to be opened and the log does not answer.
    pub async fn place(
        &self,
        partition: i32,
        candidate: &Candidate,
        threshold: f64,
    ) -> Result<Placement, Error> {
        let slot = self.open(partition).await?;
        let slot = lock(&slot);
        query::place(
            &[&slot.durable, &slot.ahead],
            candidate,
            self.shared.embedder.as_ref(),
            threshold,
        )
    }

    /// Makes what was just decided visible to [`Indexes::place`].
    pub fn decided(&self, partition: i32, events: &[Recorded<ContextEvent>]) {
        // Before it is opened there is nothing to add to: opening reads the log.
        let Some(slot) = self.slot(partition) else {
            return;
        };
        let mut slot = lock(&slot);
        for event in events {
            slot.decided.push(event.clone());
            let folded = self.shared.fold_ahead(&mut slot.ahead, event);
            if let Err(error) = folded {
                // It is on the log in a moment, and is tried again from there.
                warn!(%error, "decided context is not visible yet");
            }
        }
    }

    /// Has a partition opened soon and followed, so that its first question need
    /// not wait for that, and its file follows the log when there is none.
    pub fn keep_open(&self, partition: i32) {
        lock(&self.shared.kept_open).insert(partition);
    }

    /// Forgets a partition, whose log may go on elsewhere from here.
    pub fn reset(&self, partition: i32) {
        lock(&self.shared.kept_open).remove(&partition);
        let slot = lock(&self.shared.slots).remove(&partition);
        if let Some(slot) = slot {
            // What is on the log stays true, whoever owns the partition.
            self.shared.save(partition, &mut lock(&slot));
        }
    }

    /// How many contexts a partition's index holds; none while it is not open.
    pub fn len(&self, partition: i32) -> Option<usize> {
        self.slot(partition).map(|slot| lock(&slot).durable.len())
    }

    /// Follows the log for the open partitions and writes their files, until
    /// `shutdown`; then writes what has changed.
    pub async fn run(&self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.follow()).await;
        let shared = self.shared.clone();
        let saved = tokio::task::spawn_blocking(move || {
            for (partition, slot) in shared.slots() {
                shared.save(partition, &mut lock(&slot));
            }
        });
        if saved.await.is_err() {
            warn!("vector files were not all written");
        }
    }

    async fn follow(&self) {
        loop {
            match self.follow_slots().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, cause = ?error, "vector indexes lost the log, trying again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads on for the partitions open now. Returns when others are, and whether
    /// there are any at all.
    async fn follow_slots(&self) -> Result<bool, Error> {
        self.open_kept().await?;
        let slots = self.shared.slots();
        if slots.is_empty() {
            return Ok(false);
        }
        let from = slots
            .iter()
            .map(|(partition, slot)| (*partition, lock(slot).durable.next_offset()));
        let mut reader = PartitionReader::open(&self.shared.follower.kafka, TOPIC, from)?;
        loop {
            for record in reader.next(BATCH, POLL).await? {
                let slot = slots.iter().find(|(at, _)| *at == record.partition);
                if let Some((_, slot)) = slot {
                    self.take_in(slot, &record).await?;
                }
            }
            let shared = self.shared.clone();
            let kept = slots.clone();
            // Inserting and writing take the processor's and the disk's time.
            let tended = tokio::task::spawn_blocking(move || {
                for (partition, slot) in &kept {
                    shared.tend(*partition, slot);
                }
            });
            self.open_kept().await?;
            let same = slots.len() == lock(&self.shared.slots).len()
                && slots.iter().all(|(partition, slot)| {
                    self.slot(*partition)
                        .is_some_and(|now| Arc::ptr_eq(&now, slot))
                });
            if tended.await.is_err() {
                return Ok(false);
            }
            if !same {
                return Ok(true);
            }
            self.take_in_renewed(&slots).await?;
        }
    }

    /// A rebuild replaced the files: what is in memory is replaced as well, each
    /// index in one step, by one that has come at least as far.
    async fn take_in_renewed(&self, slots: &[(i32, Arc<Mutex<Slot>>)]) -> Result<(), Error> {
        let renewals = file::renewals(&self.shared.directory);
        if renewals == *lock(&self.shared.renewals) {
            return Ok(());
        }
        for (partition, slot) in slots {
            let (mut index, saved_offset) = self.load(*partition).await?;
            self.shared
                .follower
                .catch_up(*partition, &mut index)
                .await?;
            let mut slot = lock(slot);
            if index.next_offset() >= slot.durable.next_offset() {
                slot.durable = index;
                slot.saved_offset = saved_offset;
            }
        }
        *lock(&self.shared.renewals) = renewals;
        info!("vector indexes made anew were taken in");
        Ok(())
    }

    /// The file of a partition, and the offset up to which it goes.
    async fn load(&self, partition: i32) -> Result<(PartitionIndex, i64), Error> {
        let shared = self.shared.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            file::load(&shared.directory, partition, shared.embedder.as_ref())
        });
        let index = match loaded.await.ok().flatten() {
            Some(index) => index,
            None => PartitionIndex::new(self.shared.embedder.dimensions())?,
        };
        let offset = index.next_offset();
        Ok((index, offset))
    }

    async fn take_in(&self, slot: &Mutex<Slot>, record: &Record) -> Result<(), Error> {
        let change = self.shared.follower.read(record).await?;
        let mut slot = lock(slot);
        if record.offset >= slot.durable.next_offset() {
            let follower = &self.shared.follower;
            follower.fold(&mut slot.durable, record, change)?;
        }
        Ok(())
    }

    fn slot(&self, partition: i32) -> Option<Arc<Mutex<Slot>>> {
        lock(&self.shared.slots).get(&partition).cloned()
    }

    async fn open_kept(&self) -> Result<(), Error> {
        let kept: Vec<i32> = lock(&self.shared.kept_open).iter().copied().collect();
        for partition in kept {
            self.open(partition).await?;
        }
        Ok(())
    }

    async fn open(&self, partition: i32) -> Result<Arc<Mutex<Slot>>, Error> {
        if let Some(slot) = self.slot(partition) {
            return Ok(slot);
        }
        let _one_at_a_time = self.shared.opening.lock().await;
        // Whoever went before may have opened it.
        if let Some(slot) = self.slot(partition) {
            return Ok(slot);
        }
        let started = Instant::now();
        let dimensions = self.shared.embedder.dimensions();
        let (mut durable, saved_offset) = self.load(partition).await?;
        self.shared
            .follower
            .catch_up(partition, &mut durable)
            .await?;
        info!(
            messaging.kafka.partition = partition,
            contexts = durable.len(),
            from.offset = saved_offset,
            to.offset = durable.next_offset(),
            elapsed.seconds = started.elapsed().as_secs_f64(),
            "vector index opened"
        );
        let slot = Arc::new(Mutex::new(Slot {
            durable,
            ahead: PartitionIndex::new(dimensions)?,
            decided: Vec::new(),
            saved_offset,
            saved_at: Instant::now(),
        }));
        lock(&self.shared.slots).insert(partition, slot.clone());
        Ok(slot)
    }
}

impl Shared {
    fn slots(&self) -> Vec<(i32, Arc<Mutex<Slot>>)> {
        lock(&self.slots)
            .iter()
            .map(|(partition, slot)| (*partition, slot.clone()))
            .collect()
    }

    fn fold_ahead(
        &self,
        ahead: &mut PartitionIndex,
        event: &Recorded<ContextEvent>,
    ) -> Result<(), Error> {
        // Where it will stand on the log is not known, and not asked for.
        let nowhere = Position {
            topic: TOPIC.to_owned(),
            partition: 0,
            offset: -1,
        };
        for change in project(event, &nowhere) {
            ahead.fold(change, self.embedder.as_ref())?;
        }
        Ok(())
    }

    /// Moves vectors into the graph, lets go of what has been read back, writes
    /// the file when it is time.
    fn tend(&self, partition: i32, slot: &Mutex<Slot>) {
        loop {
            let moved = lock(slot).durable.vectors.absorb(ABSORBED);
            match moved {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "vectors stay out of the graph and are searched one by one");
                    break;
                }
            }
        }
        let mut slot = lock(slot);
        self.let_go(&mut slot);
        gauge!("agentmesh_context_vectors_contexts", "partition" => partition.to_string())
            .set(slot.durable.len() as f64);
        let unsaved = slot.durable.next_offset() - slot.saved_offset;
        if unsaved >= SAVE_RECORDS || (unsaved > 0 && slot.saved_at.elapsed() >= SAVE_AFTER) {
            self.save(partition, &mut slot);
        }
    }

    fn let_go(&self, slot: &mut Slot) {
        let Slot {
            durable,
            ahead,
            decided,
            ..
        } = slot;
        let before = decided.len();
        decided.retain(|recorded| {
            let delivery = match &recorded.event {
                ContextEvent::Shared(shared) => shared.delivery,
                ContextEvent::Merged(merged) => merged.delivery,
            };
            durable.placed(delivery).is_none()
        });
        if decided.len() == before {
            return;
        }
        let again = PartitionIndex::new(self.embedder.dimensions()).and_then(|mut again| {
            for event in decided.iter() {
                self.fold_ahead(&mut again, event)?;
            }
            Ok(again)
        });
        match again {
            Ok(again) => *ahead = again,
            Err(error) => warn!(%error, "decided contexts are kept longer than needed"),
        }
    }

    fn save(&self, partition: i32, slot: &mut Slot) {
        let offset = slot.durable.next_offset();
        // What a rebuild puts there is not written over with what it replaces.
        let renewed = file::renewals(&self.directory) != *lock(&self.renewals);
        if offset == slot.saved_offset || renewed {
            return;
        }
        let started = Instant::now();
        slot.saved_at = started;
        let embedder = self.embedder.as_ref();
        match file::save(&mut slot.durable, &self.directory, partition, embedder) {
            Ok(()) => {
                slot.saved_offset = offset;
                histogram!("agentmesh_context_vectors_save_seconds")
                    .record(started.elapsed().as_secs_f64());
            }
            // The log has it; a later attempt may find room.
            Err(error) => warn!(%error, cause = ?error, "vector file was not written"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
