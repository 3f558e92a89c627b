//! A read model outside of Postgres: rows, and beside them positions and the
//! owner generation of each partition. A write is checked and happens at one
//! moment, as a script in Redis does; an apply is several of them. All of it can
//! be flushed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Position, Record};

use super::model::{Change, INPUT_TOPICS, PULLS, changes, decode};
use super::store::Tally;
use super::world::Fate;
use crate::guard::{Guard, stands};
use crate::{Failure, StoreProjection};

/// So few that most batches are several writes.
const CHUNK: usize = 3;
/// How late a write may happen after it was given up.
const LATEST: Duration = Duration::from_secs(20);

/// What a partition's writes are checked against.
#[derive(Debug, Default)]
struct Mark {
    generation: i64,
    positions: BTreeMap<String, i64>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    marks: BTreeMap<i32, Mark>,
    /// Guarded by event id and by version alone: nothing here is counted.
    pub(super) rows: Tally,
    /// The newest claim of each partition. Known to the oracle, and not flushed.
    newest: BTreeMap<i32, i64>,
    /// What must never happen and did.
    pub(super) broken: Option<String>,
}

impl Shelf {
    pub(super) fn next_offset(&self, topic: &str, partition: i32) -> i64 {
        self.marks
            .get(&partition)
            .and_then(|mark| mark.positions.get(topic))
            .map_or(0, |next| *next)
    }

    pub(super) fn flush(&mut self) {
        self.marks.clear();
        self.rows = Tally::default();
    }

    fn positions(&self, partition: i32) -> Vec<(String, i64)> {
        self.marks.get(&partition).map_or_else(Vec::new, |mark| {
            mark.positions
                .iter()
                .map(|(topic, next)| (topic.clone(), *next))
                .collect()
        })
    }

    /// From here on no lower generation writes.
    fn claim(&mut self, partition: i32, generation: i64) -> Result<Vec<(String, i64)>, Failure> {
        let newest = self.newest.entry(partition).or_default();
        *newest = generation.max(*newest);
        let mark = self.marks.entry(partition).or_default();
        if stands(Guard::StoreClaim) {
            if mark.generation > generation && stands(Guard::StoreGeneration) {
                return Err(Failure::transient("another owner claimed it"));
            }
            mark.generation = generation;
        }
        Ok(self.positions(partition))
    }

    fn write(
        &mut self,
        partition: i32,
        generation: i64,
        changes: Vec<Change>,
        upto: &[(String, i64)],
    ) -> Result<(), Failure> {
        let found = self.marks.get(&partition).map(|mark| mark.generation);
        if found.is_none() && stands(Guard::Flush) {
            return Err(Failure::transient("it was flushed"));
        }
        let found = found.unwrap_or(generation);
        if found > generation && stands(Guard::StoreGeneration) {
            return Err(Failure::transient("another owner fills it"));
        }
        if found < generation && stands(Guard::StoreClaim) && stands(Guard::Flush) {
            return Err(Failure::transient("it was flushed and claimed since"));
        }
        let newest = self.newest.get(&partition).map_or(0, |newest| *newest);
        if newest > generation {
            self.broken.get_or_insert_with(|| {
                format!(
                    "generation {generation} wrote into {partition}, which {newest} had claimed"
                )
            });
        }
        for change in changes {
            self.rows.apply(change);
        }
        let mark = self.marks.entry(partition).or_default();
        mark.generation = generation;
        for (topic, next) in upto {
            mark.positions.insert(topic.clone(), *next);
        }
        Ok(())
    }
}

/// What the store takes for nothing it can hold, however often it is asked to.
pub(super) fn is_refused(topic: &str, event: &serde_json::Value) -> bool {
    topic == PULLS && event["number"] == 9
}

pub(super) enum ShelfChange {
    Row(Change),
    Refused,
}

/// The projection, as one run of one process has it.
#[derive(Clone)]
pub(super) struct Shelving {
    fate: Fate,
    shelf: Arc<Mutex<Shelf>>,
}

impl Shelving {
    pub(super) fn new(shelf: &Arc<Mutex<Shelf>>, fate: &Fate) -> Self {
        Self {
            fate: fate.clone(),
            shelf: Arc::clone(shelf),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    fn write(
        &self,
        partition: i32,
        generation: i64,
        changes: Vec<ShelfChange>,
        upto: &[(String, i64)],
    ) -> Result<(), Failure> {
        let rows = changes
            .into_iter()
            .map(|change| match change {
                ShelfChange::Row(row) => Some(row),
                ShelfChange::Refused => None,
            })
            .collect::<Option<Vec<Change>>>();
        let written = match rows {
            Some(rows) => self.shelf().write(partition, generation, rows, upto),
            None => Err(Failure::poison("it cannot hold this")),
        };
        self.told(&written, partition, generation, upto);
        written
    }

    /// The store has heard of it when the process hears that it has not.
    fn write_later(
        &self,
        partition: i32,
        generation: i64,
        changes: Vec<ShelfChange>,
        upto: &[(String, i64)],
    ) {
        let (late, upto) = (self.clone(), upto.to_vec());
        self.fate.nature.scheduler.spawn(async move {
            late.fate.nature.sleep_up_to(LATEST).await;
            let name = &late.fate.name;
            late.fate.nature.tell(name, "a late write comes");
            // Nobody is there to hear how it ended.
            let _ = late.write(partition, generation, changes, &upto);
        });
    }

    fn told(
        &self,
        written: &Result<(), Failure>,
        partition: i32,
        generation: i64,
        upto: &[(String, i64)],
    ) {
        if self.fate.nature.is_told() {
            let what = format_args!("{partition} g{generation} {upto:?}: {written:?}");
            self.fate
                .nature
                .tell(&self.fate.name, format_args!("shelved {what}"));
        }
    }
}

fn away() -> Failure {
    Failure::transient("the shelf is away")
}

impl StoreProjection for Shelving {
    const NAME: &'static str = "sim-shelf";
    /// So few that a fetch is several batches.
    const BATCH: usize = 5;
    type Event = serde_json::Value;
    type Change = ShelfChange;

    fn topics(&self) -> Vec<&'static str> {
        INPUT_TOPICS.to_vec()
    }

    async fn decode(
        &self,
        record: &Record,
    ) -> Result<Vec<Recorded<serde_json::Value>>, DecodeError> {
        Ok(vec![decode(&self.fate, record)?])
    }

    fn project(
        &self,
        recorded: &Recorded<serde_json::Value>,
        position: &Position,
    ) -> Vec<ShelfChange> {
        if is_refused(&position.topic, &recorded.event) {
            return vec![ShelfChange::Refused];
        }
        rows(recorded, position)
            .into_iter()
            .map(ShelfChange::Row)
            .collect()
    }

    async fn claim(&self, partition: i32, generation: i64) -> Result<Vec<(String, i64)>, Failure> {
        self.fate.pass("shelf claim").await;
        if self.fate.fails("shelf claim") {
            return Err(away());
        }
        let positions = self.shelf().claim(partition, generation);
        self.fate.nature.tell(
            &self.fate.name,
            format_args!("claims {partition} g{generation}: {positions:?}"),
        );
        self.fate.pass("shelf claimed").await;
        positions
    }

    async fn positions(&self, partition: i32) -> Result<Vec<(String, i64)>, Failure> {
        self.fate.pass("positions").await;
        if self.fate.fails("positions") {
            return Err(away());
        }
        if !stands(Guard::StoreClaim) {
            self.shelf().marks.entry(partition).or_default();
        }
        Ok(self.shelf().positions(partition))
    }

    async fn apply(
        &self,
        partition: i32,
        changes: Vec<ShelfChange>,
        upto: &[(String, i64)],
        generation: i64,
    ) -> Result<(), Failure> {
        self.fate.pass("apply").await;
        if self.fate.nature.fault(25) {
            let late = self.fate.nature.chance.one_in(2);
            self.fate.nature.tell(&self.fate.name, "fails at apply");
            if late {
                self.write_later(partition, generation, changes, upto);
            }
            return Err(away());
        }
        let mut changes = changes.into_iter().peekable();
        loop {
            let chunk: Vec<ShelfChange> = changes.by_ref().take(CHUNK).collect();
            if changes.peek().is_none() {
                self.write(partition, generation, chunk, upto)?;
                break;
            }
            self.write(partition, generation, chunk, &[])?;
            self.fate.pass("apply, in the middle").await;
            if self.fate.fails("apply, in the middle") {
                return Err(away());
            }
        }
        self.fate.pass("applied").await;
        if self.fate.fails("applied") {
            return Err(away());
        }
        Ok(())
    }

    async fn clear(&self) -> Result<(), Failure> {
        self.shelf().flush();
        Ok(())
    }

    /// Nobody compares digests here.
    async fn entries(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

/// What the shelf holds of a record that it takes: no counts.
pub(super) fn rows(recorded: &Recorded<serde_json::Value>, position: &Position) -> Vec<Change> {
    changes(recorded, position)
        .into_iter()
        .filter(|change| !matches!(change, Change::Applied(..)))
        .collect()
}
