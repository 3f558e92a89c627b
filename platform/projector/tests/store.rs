//! A read model that keeps its own offsets, over topics of different widths.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use common::wire::{Pressed, Presses};
use common::{Bed, DEAD_LETTERS, PATIENCE, Running, bed, pressed};
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Outgoing, Position, Record, TopicSpec};
use platform_projector::{
    Checked, Failure, RebuildOptions, ShadowStore, StoreProjection, rebuild_store,
    run_store_projection, store_digest,
};
use platform_testkit::eventually;

const NARROW: &str = "mesh.narrow";

/// A store in memory, shared by all who write to it.
#[derive(Default)]
struct Shelf {
    entries: BTreeSet<String>,
    offsets: BTreeMap<(String, i32), i64>,
}

#[derive(Clone)]
struct Shelved {
    decoder: Arc<Decoder<Presses>>,
    shelf: Arc<Mutex<Shelf>>,
    /// What stands beside the live one, by name.
    beside: Arc<Mutex<BTreeMap<String, Arc<Mutex<Shelf>>>>>,
}

impl ShadowStore for Shelved {
    fn beside(&self, name: &str) -> Self {
        let mut beside = self.beside.lock().unwrap();
        Self {
            shelf: beside.entry(name.to_owned()).or_default().clone(),
            ..self.clone()
        }
    }

    async fn replace_with(&self, shadow: &Self, generations: &[(i32, i64)]) -> Result<(), Failure> {
        assert!(!generations.is_empty());
        let built = std::mem::take(&mut *shadow.shelf.lock().unwrap());
        *self.shelf.lock().unwrap() = built;
        Ok(())
    }
}

impl StoreProjection for Shelved {
    const NAME: &'static str = "test-shelf";
    type Event = Pressed;
    type Change = String;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.presses", NARROW]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        let mut record = record.clone();
        record.topic = "mesh.presses".to_owned();
        Ok(vec![self.decoder.decode(&record).await?])
    }

    fn project(&self, recorded: &Recorded<Pressed>, position: &Position) -> Vec<String> {
        let event = &recorded.event;
        vec![format!(
            "{} {} {}",
            position.topic, event.stream, event.number
        )]
    }

    async fn positions(&self, partition: i32) -> Result<Vec<(String, i64)>, Failure> {
        let shelf = self.shelf.lock().unwrap();
        Ok(shelf
            .offsets
            .iter()
            .filter(|((_, number), _)| *number == partition)
            .map(|((topic, _), next)| (topic.clone(), *next))
            .collect())
    }

    async fn apply(
        &self,
        partition: i32,
        changes: Vec<String>,
        upto: &[(String, i64)],
        generation: i64,
    ) -> Result<(), Failure> {
        assert!(generation > 0);
        if changes.iter().any(|change| change.ends_with(" 666")) {
            return Err(Failure::poison("refused"));
        }
        let mut shelf = self.shelf.lock().unwrap();
        shelf.entries.extend(changes);
        for (topic, next) in upto {
            shelf.offsets.insert((topic.clone(), partition), *next);
        }
        Ok(())
    }

    async fn clear(&self) -> Result<(), Failure> {
        *self.shelf.lock().unwrap() = Shelf::default();
        Ok(())
    }

    async fn entries(&self) -> Result<Vec<String>, Failure> {
        Ok(self.shelf.lock().unwrap().entries.iter().cloned().collect())
    }
}

async fn wide_and_narrow(name: &str) -> (Bed, Shelved) {
    let bed = bed(name).await;
    bed.admin
        .ensure_topics(&[TopicSpec::new(NARROW, 1)])
        .await
        .unwrap();
    let shelved = Shelved {
        decoder: Arc::new(bed.decoder()),
        shelf: Arc::default(),
        beside: Arc::default(),
    };
    (bed, shelved)
}

async fn narrow_press(bed: &Bed, number: u64) {
    let outgoing = bed
        .encoder
        .encode::<Presses>(&pressed("narrow", number))
        .unwrap();
    let record = Record {
        topic: NARROW.to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        headers: outgoing.headers().iter().cloned().collect(),
        value: outgoing.value().cloned(),
    };
    bed.producer
        .append(Outgoing::dead_letter(NARROW, &record, &[]))
        .await
        .unwrap();
}

async fn has_entries(shelved: &Shelved, count: usize) {
    eventually(PATIENCE, || async {
        let found = shelved.shelf.lock().unwrap().entries.len();
        (found == count).then_some(()).ok_or(found)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_store_is_filled_again_without_being_told() {
    let (bed, shelved) = wide_and_narrow("flushed").await;
    let runner = shelved.clone();
    let running = Running::start(|stop| run_store_projection(runner, bed.deps(), stop));
    for key in ["a", "b", "c"] {
        bed.press(key, 0..50).await;
    }
    narrow_press(&bed, 1).await;
    has_entries(&shelved, 151).await;
    shelved.clear().await.unwrap();
    has_entries(&shelved, 151).await;
    running.crash().await;

    bed.press("a", 50..60).await;
    let runner = shelved.clone();
    let running = Running::start(|stop| run_store_projection(runner, bed.deps(), stop));
    has_entries(&shelved, 161).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_for_good_becomes_a_dead_letter() {
    let (bed, shelved) = wide_and_narrow("refused").await;
    bed.press_on(1, &pressed("a", 1)).await;
    bed.press_on(1, &pressed("a", 666)).await;
    bed.press_on(1, &pressed("a", 2)).await;
    let runner = shelved.clone();
    let running = Running::start(|stop| run_store_projection(runner, bed.deps(), stop));
    has_entries(&shelved, 2).await;
    eventually(PATIENCE, || async {
        shelved
            .positions(1)
            .await
            .unwrap()
            .contains(&("mesh.presses".to_owned(), 3))
    })
    .await
    .unwrap();
    let letters = bed.read_all(DEAD_LETTERS).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].header("mesh-dead-letter-origin"),
        Some("mesh.presses/1/1")
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_restores_the_digest_beside_a_live_runner() {
    let (bed, shelved) = wide_and_narrow("rebuilt").await;
    let runner = shelved.clone();
    let running = Running::start(|stop| run_store_projection(runner, bed.deps(), stop));
    for key in ["a", "b", "c"] {
        bed.press(key, 0..50).await;
    }
    narrow_press(&bed, 1).await;
    has_entries(&shelved, 151).await;
    let before = store_digest(&shelved).await.unwrap();
    shelved
        .shelf
        .lock()
        .unwrap()
        .entries
        .retain(|entry| !entry.contains('7'));
    assert_ne!(before, store_digest(&shelved).await.unwrap());
    let options = RebuildOptions::default();
    let rebuilt = rebuild_store(&shelved, &bed.deps(), &options)
        .await
        .unwrap();
    assert_eq!(rebuilt.records, 151);
    // This store cannot tell partitions apart.
    let differs = Checked::Differs {
        partitions: Vec::new(),
        unplaced: true,
    };
    assert_eq!(rebuilt.checked, differs);
    assert_eq!(before, store_digest(&shelved).await.unwrap());
    bed.press("b", 50..60).await;
    has_entries(&shelved, 161).await;
    running.stop().await;
}
