use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, TenantId};
use platform_config::DeadLetters;
use platform_log::{Outgoing, Record};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, WIDTH};
use super::log::SimLog;
use super::model::{Counting, INPUT_TOPICS, INPUTS, PRESSES, PULLS, Pressed, Tallying, outgoing};
use super::oracle;
use super::shelf::{Shelf, Shelving};
use super::store::{SimStore, Tables};
use super::world::{Fate, Nature, SimClock, SimWorld};
use crate::dead_letter::with_redrives;
use crate::decider::run_process_in;
use crate::pg::run_model_in;
use crate::store::run_store_in;
use crate::{DEAD_LETTERS, ReadinessSink};

/// How long there are faults, and how long inputs come in.
const STORM: Duration = Duration::from_secs(60);
const INPUT: Duration = Duration::from_secs(40);
/// The longest it may take after the storm until all is done.
const PATIENCE: Duration = Duration::from_secs(600);
const DECIDERS: usize = 3;
const PROJECTORS: usize = 2;
const SHELVERS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Decides,
    Projects,
    /// Keeps a read model outside of Postgres.
    Shelves,
}

/// All that outlives a process.
#[derive(Clone)]
struct Stage {
    nature: Nature,
    broker: Arc<Mutex<Broker>>,
    changed: Arc<Notify>,
    deciding: Arc<Mutex<Tables>>,
    projecting: Arc<Mutex<Tables>>,
    /// The generations of those who fill the shelf.
    shelving: Arc<Mutex<Tables>>,
    shelf: Arc<Mutex<Shelf>>,
    /// Ends all processes in good order.
    stop: Arc<Mutex<CancellationToken>>,
}

/// The history of one seed. What it broke, if anything, and what happened.
pub(super) fn play(seed: u64, told: bool) -> Result<(), (String, Vec<String>)> {
    let nature = Nature::new(seed, told);
    let stage = Stage {
        nature: nature.clone(),
        broker: Arc::default(),
        changed: Arc::default(),
        deciding: Arc::default(),
        projecting: Arc::default(),
        shelving: Arc::default(),
        shelf: Arc::default(),
        stop: Arc::default(),
    };
    let main = {
        let stage = stage.clone();
        async move { stage.play().await }
    };
    nature
        .scheduler
        .run(&nature.chance, main)
        .map_err(|broken| (broken, nature.history()))
}

impl Stage {
    async fn play(self) -> Result<(), String> {
        self.read_some_topics_for_longer();
        for number in 0..DECIDERS {
            self.keep_running(Kind::Decides, format!("d{number}"));
        }
        for number in 0..PROJECTORS {
            self.keep_running(Kind::Projects, format!("p{number}"));
        }
        for number in 0..SHELVERS {
            self.keep_running(Kind::Shelves, format!("s{number}"));
        }
        self.nature.scheduler.spawn(self.clone().flush());
        self.nature.scheduler.spawn(self.clone().feed());
        self.nature.scheduler.sleep(STORM).await;
        self.nature.becomes_calm();
        self.rest().await?;
        // What a zombie appended after the last commit is folded by the next owner.
        self.stop.lock().unwrap().cancel();
        self.nature.scheduler.sleep(Duration::from_secs(30)).await;
        self.rest().await?;
        oracle::judge(
            &self.broker.lock().unwrap(),
            &self.deciding.lock().unwrap(),
            &self.projecting.lock().unwrap(),
            &self.shelf.lock().unwrap(),
        )
    }

    /// Starts the process again whenever it was killed or has ended.
    fn keep_running(&self, kind: Kind, name: String) {
        let stage = self.clone();
        self.nature.scheduler.spawn(async move {
            for run in 1.. {
                let fate = Fate::new(&stage.nature, &format!("{name}.{run}"));
                tokio::select! {
                    biased;
                    () = fate.killed() => {}
                    () = stage.run(kind, &fate) => {}
                }
                stage.nature.sleep_up_to(Duration::from_secs(8)).await;
            }
        });
    }

    async fn run(&self, kind: Kind, fate: &Fate) {
        let stop = {
            let mut stop = self.stop.lock().unwrap();
            if stop.is_cancelled() {
                *stop = CancellationToken::new();
            }
            stop.clone()
        };
        let tables = match kind {
            Kind::Decides => &self.deciding,
            Kind::Projects => &self.projecting,
            Kind::Shelves => &self.shelving,
        };
        let world = SimWorld {
            clock: SimClock(self.nature.clone()),
            log: SimLog::new(&self.broker, &self.changed, fate),
            store: SimStore::new(tables, fate),
            readiness: ReadinessSink::none(),
            dead_letters: DeadLetters {
                attempts: 3,
                first_pause_ms: 100,
                longest_pause_ms: 1_000,
                // Longer than the storm: what is only unknown for now is never given up.
                schema_wait_ms: 2 * STORM.as_millis() as u64,
            },
        };
        let ended = match kind {
            Kind::Decides => {
                let tick = Duration::from_millis(500);
                run_process_in(world, Counting(fate.clone()), tick, &stop).await
            }
            Kind::Projects => {
                let inputs = with_redrives(INPUT_TOPICS.to_vec());
                let model = Arc::new(Tallying(fate.clone()));
                let group = "sim-tally".to_owned();
                run_model_in(world, model, group, inputs, &INPUT_TOPICS, &stop).await
            }
            Kind::Shelves => {
                let inputs = with_redrives(INPUT_TOPICS.to_vec());
                let shelving = Arc::new(Shelving::new(&self.shelf, fate));
                let group = "sim-shelf".to_owned();
                run_store_in(world, shelving, group, inputs, &INPUT_TOPICS, &stop).await
            }
        };
        self.nature
            .tell(&fate.name, format_args!("ended: {ended:?}"));
    }

    /// A topic that came with a later release was claimed less often than the others.
    fn read_some_topics_for_longer(&self) {
        let mut shelving = self.shelving.lock().unwrap();
        for topic in with_redrives(INPUT_TOPICS.to_vec()) {
            let times = 1_000 * self.nature.chance.below(2) as i64;
            for partition in 0..WIDTH {
                shelving.claimed_before(topic, partition, times);
            }
        }
    }

    /// Now and then the shelf is empty all of a sudden; in some histories never.
    async fn flush(self) {
        for _ in 0..self.nature.chance.below(4) {
            self.nature.sleep_up_to(STORM / 2).await;
            self.nature.tell("-", "the shelf is flushed");
            self.shelf.lock().unwrap().flush();
        }
    }

    /// Appends the inputs: some twice, some poison.
    async fn feed(self) {
        let chance = &self.nature.chance;
        let streams = 1 + chance.below(3);
        let count = 8 + chance.below(24);
        let mut known: Vec<Outgoing> = Vec::new();
        for index in 0..count {
            let pause = INPUT.as_micros() as u64 / count;
            let pause = chance.below(pause * 2);
            self.nature
                .scheduler
                .sleep(Duration::from_micros(pause))
                .await;
            let topic = if chance.one_in(2) { PRESSES } else { PULLS };
            let stream = format!("s{}", chance.below(streams));
            let record = if chance.one_in(16) {
                poison(topic, &stream)
            } else if !known.is_empty() && chance.one_in(6) {
                known[chance.below(known.len() as u64) as usize].clone()
            } else {
                let parts = if chance.one_in(3) { 2 } else { 1 };
                let pressed = Pressed {
                    number: 1 + chance.below(9),
                    parts,
                };
                outgoing(topic, &self.input(&stream, index, pressed))
            };
            known.push(record.clone());
            let position = self.broker.lock().unwrap().append(&record);
            self.nature
                .tell("feed", format_args!("{position} {stream}"));
            self.changed.notify_waiters();
        }
    }

    fn input(&self, stream: &str, index: u64, event: Pressed) -> Recorded<Pressed> {
        Recorded {
            meta: Metadata {
                id: EventId::derive(&["sim", stream, &index.to_string()]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("sim", stream),
                causation: None,
                stream: stream.to_owned(),
                version: index + 1,
                at: self.nature.now(),
                source: "/sim".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        }
    }

    /// Until everything was read and nothing more follows.
    async fn rest(&self) -> Result<(), String> {
        let until = self.nature.scheduler.now() + PATIENCE;
        let mut before = None;
        loop {
            self.nature.scheduler.sleep(Duration::from_secs(3)).await;
            let (records, behind) = self.behind();
            if behind.is_empty() && before == Some(records) {
                return Ok(());
            }
            before = behind.is_empty().then_some(records);
            if self.nature.scheduler.now() > until {
                return Err(format!("it does not come to rest: {}", behind.join(", ")));
            }
        }
    }

    fn behind(&self) -> (usize, Vec<String>) {
        let broker = self.broker.lock().unwrap();
        let deciding = self.deciding.lock().unwrap();
        let projecting = self.projecting.lock().unwrap();
        let shelving = self.shelving.lock().unwrap();
        let shelf = self.shelf.lock().unwrap();
        let mut behind = Vec::new();
        if broker.late > 0 {
            behind.push(format!("{} appends are on their way", broker.late));
        }
        for partition in 0..WIDTH {
            let letters = broker.end(DEAD_LETTERS, partition);
            if shelving.next_offset(DEAD_LETTERS, partition) < letters {
                behind.push(format!("{partition} is not looked through for redrives"));
            }
            for topic in INPUTS {
                if deciding.next_offset(topic, partition) < broker.end(topic, partition) {
                    behind.push(format!("{topic}/{partition} is not decided"));
                }
            }
            for topic in INPUT_TOPICS {
                if projecting.next_offset(topic, partition) < broker.end(topic, partition) {
                    behind.push(format!("{topic}/{partition} is not projected"));
                }
                if shelf.next_offset(topic, partition) < broker.end(topic, partition) {
                    behind.push(format!("{topic}/{partition} is not shelved"));
                }
            }
        }
        for row in deciding.states.values() {
            if row.wake_at.is_some() {
                behind.push(format!("{} waits to be woken", row.stream));
            }
        }
        (broker.records(), behind)
    }
}

fn poison(topic: &'static str, stream: &str) -> Outgoing {
    let record = Record {
        topic: topic.to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: Some(stream.to_owned().into_bytes().into()),
        headers: platform_log::Headers::default(),
        value: None,
    };
    Outgoing::dead_letter(topic, &record, &[])
}
