//! An executor: every request is answered once, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::wire::{Answered, Answers, Asked, Asks};
use common::{AnsweredEvents, Bed, DEAD_LETTERS, PATIENCE, Running, asked, bed, meta};
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Encoder, Error, Outgoing, Producer, Record};
use platform_postgres::{Checkpoints, Pool};
use platform_projector::{CancelReason, Cancellation, Executor, Failure, Journal, run_executor};
use platform_testkit::eventually;
use tokio::sync::watch;

/// What is to happen with requests: those with a number below `open` are done.
#[derive(Clone)]
struct World {
    open: Arc<watch::Sender<u64>>,
    /// Stream and how many answers it was shown, in the order begun.
    begun: Arc<Mutex<Vec<(String, usize)>>>,
    /// What was said to those that asked whether their request was still theirs.
    confirmed: Arc<Mutex<Vec<bool>>>,
}

impl World {
    fn new(open: u64) -> Self {
        Self {
            open: Arc::new(watch::Sender::new(open)),
            begun: Arc::default(),
            confirmed: Arc::default(),
        }
    }

    fn begun(&self) -> Vec<(String, usize)> {
        self.begun.lock().unwrap().clone()
    }
}

struct Answering {
    asks: Decoder<Asks>,
    answers: Decoder<Answers>,
    encoder: Encoder,
    world: World,
    ordered: bool,
    /// Requests of one kind get only some of the places.
    places: usize,
    /// Claims the partition of a request that has begun, as another owner would.
    usurper: Option<Pool>,
    /// Brings the final answer of an owner before, after the answers were read.
    latecomer: Option<Producer>,
}

fn answering(bed: &Bed, world: &World) -> Answering {
    Answering {
        asks: bed.decoder(),
        answers: bed.decoder(),
        encoder: bed.encoder.clone(),
        world: world.clone(),
        ordered: false,
        places: 8,
        usurper: None,
        latecomer: None,
    }
}

impl Executor for Answering {
    type Request = Asked;
    type Answer = Answered;
    const NAME: &'static str = "test-answering";

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.asks"]
    }

    fn answer_topic(&self) -> &'static str {
        "mesh.answers"
    }

    fn source(&self) -> &'static str {
        "/agentmesh/test"
    }

    fn concurrency(&self) -> usize {
        8
    }

    async fn decode(&self, record: &Record) -> Result<Option<Recorded<Asked>>, DecodeError> {
        Ok(Some(self.asks.decode(record).await?))
    }

    async fn decode_answer(&self, record: &Record) -> Result<Recorded<Answered>, DecodeError> {
        self.answers.decode(record).await
    }

    fn encode_answer(&self, recorded: &Recorded<Answered>) -> Result<Outgoing, Error> {
        self.encoder.encode::<Answers>(recorded)
    }

    fn stream(&self, request: &Recorded<Asked>) -> String {
        request.meta.stream.clone()
    }

    fn is_final(&self, answer: &Answered) -> bool {
        !matches!(answer, Answered::Started)
    }

    fn cancels(&self, request: &Recorded<Asked>) -> Option<String> {
        request.event.cancels.clone()
    }

    fn order_key(&self, request: &Recorded<Asked>) -> Option<String> {
        self.ordered.then(|| request.event.stream.clone())
    }

    fn share_key(&self, request: &Recorded<Asked>) -> Option<String> {
        let (kind, _) = request.event.stream.split_once(' ')?;
        Some(kind.to_owned())
    }

    fn places(&self) -> usize {
        self.places
    }

    async fn execute(
        &self,
        request: Recorded<Asked>,
        journal: &Journal<Self>,
        history: Vec<Recorded<Answered>>,
        cancel: Cancellation,
    ) -> Result<(), Failure> {
        let begun = (request.meta.stream.clone(), history.len());
        self.world.begun.lock().unwrap().push(begun);
        if history.is_empty() {
            journal.record(Answered::Started).await?;
        }
        if let Some(pool) = &self.usurper {
            if history.is_empty() {
                let another = Checkpoints::new("test_answering", "another");
                another.claim(pool, &[("mesh.asks", 0)]).await.unwrap();
            }
            let confirmed = journal.confirm_ownership().await;
            let mut all = self.world.confirmed.lock().unwrap();
            all.push(confirmed.is_ok());
            drop(all);
            confirmed?;
        }
        if let (Some(producer), [started]) = (&self.latecomer, history.as_slice()) {
            let mut late = started.clone();
            late.meta.version = 2;
            late.event = Answered::Done { number: 99 };
            let late = self.encoder.encode::<Answers>(&late).unwrap();
            producer.append(late).await.unwrap();
            // As one does who has to find out what became of it.
            journal.record(Answered::Started).await?;
        }
        let number = request.event.number;
        assert_ne!(number, 13, "told to");
        if number == 7 && history.is_empty() {
            return Err(Failure::transient("the first time it fails"));
        }
        let mut open = self.world.open.subscribe();
        let called_off = tokio::select! {
            opened = open.wait_for(|open| number < *open) => {
                drop(opened);
                None
            }
            reason = cancel.cancelled() => Some(reason),
        };
        match called_off {
            None => drop(journal.record(Answered::Done { number }).await?),
            Some(CancelReason::Requested) => drop(journal.record(Answered::CalledOff).await?),
            Some(CancelReason::Shutdown) => {}
        }
        Ok(())
    }
}

async fn answers(bed: &Bed) -> BTreeMap<String, Vec<Answered>> {
    let mut answers: BTreeMap<String, Vec<(u64, Answered)>> = BTreeMap::new();
    let all: AnsweredEvents = bed.decode_all::<Answers>().await;
    for answer in all {
        answers
            .entry(answer.meta.stream)
            .or_default()
            .push((answer.meta.version, answer.event));
    }
    answers
        .into_iter()
        .map(|(stream, mut answers)| {
            answers.sort_by_key(|(version, _)| *version);
            let versions: Vec<u64> = answers.iter().map(|(version, _)| *version).collect();
            assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
            (
                stream,
                answers.into_iter().map(|(_, answer)| answer).collect(),
            )
        })
        .collect()
}

async fn done(bed: &Bed, count: usize) {
    eventually(PATIENCE, || async {
        let finished = answers(bed)
            .await
            .values()
            .filter(|answers| answers.len() == 2)
            .count();
        (finished == count).then_some(()).ok_or(finished)
    })
    .await
    .unwrap();
}

/// A request in the order of one partition, whatever its stream.
async fn ask_on(bed: &Bed, partition: i32, request: &Recorded<Asked>) {
    let outgoing = bed.encoder.encode::<Asks>(request).unwrap();
    bed.producer
        .append(outgoing.to_partition(partition))
        .await
        .unwrap();
}

async fn checkpoint(bed: &Bed, partition: i32) -> Option<i64> {
    let positions = Checkpoints::positions(&bed.pool, "test_answering")
        .await
        .ok()?;
    positions
        .iter()
        .find(|claim| claim.topic == "mesh.asks" && claim.partition == partition)
        .map(|claim| claim.next_offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_what_was_answered_is_skipped() {
    let bed = bed("restart").await;
    let world = World::new(100);
    let first = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(first, bed.deps(), stop));
    ask_on(&bed, 1, &asked("before", 1)).await;
    for (stream, number) in [("slow", 500), ("b", 2), ("c", 3), ("d", 4)] {
        ask_on(&bed, 1, &asked(stream, number)).await;
    }
    done(&bed, 4).await;
    eventually(PATIENCE, || async {
        bed.number("SELECT count(*) FROM test_answering.mesh_finished")
            .await
            == Some(4)
    })
    .await
    .unwrap();
    assert_eq!(checkpoint(&bed, 1).await, Some(1), "the lowest unfinished");
    running.crash().await;

    // One that was answered without anybody having noted it.
    ask_on(&bed, 1, &asked("answered", 5)).await;
    for (version, answer) in [(1, Answered::Started), (2, Answered::Done { number: 5 })] {
        let outgoing = bed
            .encoder
            .encode::<Answers>(&Recorded {
                meta: meta("answered", "answered", version),
                event: answer,
            })
            .unwrap();
        bed.producer.append(outgoing).await.unwrap();
    }
    let again = World::new(1_000);
    let second = answering(&bed, &again);
    let running = Running::start(|stop| run_executor(second, bed.deps(), stop));
    eventually(PATIENCE, || async { checkpoint(&bed, 1).await == Some(6) })
        .await
        .unwrap();
    assert_eq!(
        again.begun(),
        [("slow".to_owned(), 1)],
        "only the unfinished one, shown what it had answered"
    );
    done(&bed, 6).await;

    // Asked for once more, long after: under the same stream nothing happens.
    ask_on(&bed, 1, &asked("b", 2)).await;
    eventually(PATIENCE, || async { checkpoint(&bed, 1).await == Some(7) })
        .await
        .unwrap();
    assert_eq!(again.begun().len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_and_poison_is_buried() {
    let bed = bed("failures").await;
    let world = World::new(100);
    let executor = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    ask_on(&bed, 0, &asked("fails once", 7)).await;
    ask_on(&bed, 0, &asked("panics", 13)).await;
    ask_on(&bed, 0, &asked("fine", 1)).await;
    done(&bed, 2).await;
    eventually(PATIENCE, || async { checkpoint(&bed, 0).await == Some(3) })
        .await
        .unwrap();
    let letters = bed.read_all(DEAD_LETTERS).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].header("mesh-dead-letter-origin"),
        Some("mesh.asks/0/1")
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_be_called_off() {
    let bed = bed("called off").await;
    let world = World::new(100);
    let executor = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    ask_on(&bed, 0, &asked("long", 500)).await;
    eventually(PATIENCE, || async { !world.begun().is_empty() })
        .await
        .unwrap();
    let mut off = asked("off", 0);
    off.event.cancels = Some("long".to_owned());
    ask_on(&bed, 0, &off).await;
    done(&bed, 1).await;
    assert_eq!(
        answers(&bed).await["long"],
        [Answered::Started, Answered::CalledOff]
    );
    eventually(PATIENCE, || async { checkpoint(&bed, 0).await == Some(2) })
        .await
        .unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_key_are_carried_out_in_order() {
    let bed = bed("ordered").await;
    let world = World::new(0);
    let mut executor = answering(&bed, &world);
    executor.ordered = true;
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    for number in 0..3 {
        let mut request = asked("one record", number);
        request.meta = meta("asked", &format!("write {number}"), 1);
        ask_on(&bed, 0, &request).await;
    }
    ask_on(&bed, 0, &asked("another", 3)).await;
    eventually(PATIENCE, || async { world.begun().len() == 2 })
        .await
        .unwrap();
    world.open.send_replace(100);
    done(&bed, 4).await;
    let begun: Vec<String> = world
        .begun()
        .into_iter()
        .map(|(stream, _)| stream)
        .filter(|stream| stream.starts_with("write"))
        .collect();
    assert_eq!(begun, ["write 0", "write 1", "write 2"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_executions_finish_and_resumes_those_that_did_not() {
    let bed = bed("drain").await;
    let world = World::new(0);
    let executor = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    ask_on(&bed, 0, &asked("quick", 1)).await;
    ask_on(&bed, 0, &asked("endless", 500)).await;
    eventually(PATIENCE, || async { world.begun().len() == 2 })
        .await
        .unwrap();
    running.shutdown.cancel();
    world.open.send_replace(100);
    running.stop().await;
    let found = answers(&bed).await;
    assert_eq!(found["quick"].len(), 2, "finished while draining");
    assert_eq!(found["endless"], [Answered::Started], "left unfinished");

    let again = World::new(1_000);
    let executor = answering(&bed, &again);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    done(&bed, 2).await;
    assert_eq!(again.begun(), [("endless".to_owned(), 1)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_that_crash_and_come_and_go_answer_everything_once() {
    let bed = bed("executor kills").await;
    let mut last = None;
    for round in 0..5u64 {
        // The higher half of a round waits for the next one.
        let world = World::new(round * 40 + 20);
        let executor = answering(&bed, &world);
        let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
        for number in round * 40..round * 40 + 40 {
            if number == 13 || number == 7 {
                continue;
            }
            ask_on(
                &bed,
                (number % 3) as i32,
                &asked(&format!("ask {number}"), number),
            )
            .await;
        }
        let expected = (round * 20) as usize;
        eventually(PATIENCE, || async {
            let finished = finals(&bed).await;
            (finished.len() > expected)
                .then_some(())
                .ok_or(finished.len())
        })
        .await
        .unwrap();
        if let Some(before) = last.replace(running) {
            Running::crash(before).await;
        }
    }
    let world = World::new(1_000);
    let executor = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    last.unwrap().crash().await;
    eventually(PATIENCE, || async {
        let finished = finals(&bed).await;
        (finished.len() == 198).then_some(()).ok_or(finished.len())
    })
    .await
    .unwrap();
    eventually(PATIENCE, || async {
        bed.number("SELECT sum(next_offset)::bigint FROM test_answering.mesh_checkpoint")
            .await
            == Some(198)
    })
    .await
    .unwrap();
    running.stop().await;
    for (stream, number) in finals(&bed).await {
        assert_eq!(stream, format!("ask {number}"));
    }
}

/// The final answer of each stream, as readers see it: of each version the first.
async fn finals(bed: &Bed) -> BTreeMap<String, u64> {
    let mut seen: BTreeMap<(String, u64), Answered> = BTreeMap::new();
    let all: AnsweredEvents = bed.decode_all::<Answers>().await;
    for answer in all {
        seen.entry((answer.meta.stream, answer.meta.version))
            .or_insert(answer.event);
    }
    let mut finals = BTreeMap::new();
    for ((stream, _), answer) in seen {
        if let Answered::Done { number } = answer {
            assert_eq!(finals.insert(stream, number), None, "answered once");
        }
    }
    finals
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_leaves_the_others_their_places() {
    let bed = bed("places").await;
    let world = World::new(100);
    let mut executor = answering(&bed, &world);
    executor.places = 2;
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    // More than may run and more than would be read ahead.
    for number in 0..40 {
        ask_on(&bed, 0, &asked(&format!("dead {number}"), 500 + number)).await;
    }
    for number in 0..3 {
        ask_on(&bed, 0, &asked(&format!("alive {number}"), number)).await;
    }
    done(&bed, 3).await;
    let hanging = world
        .begun()
        .iter()
        .filter(|(stream, _)| stream.starts_with("dead"))
        .count();
    assert_eq!(hanging, 2, "no more than their places");
    world.open.send(1_000).unwrap();
    done(&bed, 43).await;
    running.stop().await;
}

fn revocations() -> f64 {
    platform_telemetry::render_prometheus()
        .lines()
        .filter(|line| line.starts_with("agentmesh_log_rebalances_total"))
        .filter(|line| line.contains("test-answering") && line.contains("revoked"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_before_its_partition_is_handed_over() {
    let bed = bed("hand over").await;
    let before = revocations();
    let world = World::new(0);
    let first = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(first, bed.deps(), stop));
    let partitions = bed.settings.kafka.partitions as i32;
    for partition in 0..partitions {
        ask_on(&bed, partition, &asked(&format!("r{partition}"), 1)).await;
    }
    eventually(PATIENCE, || async {
        world.begun().len() == partitions as usize
    })
    .await
    .unwrap();
    let other = World::new(100);
    let second = answering(&bed, &other);
    let joining = Running::start(|stop| run_executor(second, bed.deps(), stop));
    // The group has asked for the partitions back. (Another test's group may be
    // the one that was counted; then this one shows less.)
    eventually(PATIENCE, || async { revocations() > before })
        .await
        .unwrap();
    world.open.send(100).unwrap();
    done(&bed, partitions as usize).await;
    // Something for the second to do, which it only does as an owner: that may
    // be a while, so it is asked until it is.
    let later = AtomicUsize::new(0);
    eventually(PATIENCE, || async {
        let round = later.fetch_add(1, Ordering::Relaxed);
        for partition in 0..partitions {
            let request = asked(&format!("later{round}-{partition}"), 2);
            ask_on(&bed, partition, &request).await;
        }
        done(&bed, partitions as usize * (round + 2)).await;
        !other.begun().is_empty()
    })
    .await
    .unwrap();
    let again = other
        .begun()
        .iter()
        .any(|(stream, _)| stream.starts_with('r'));
    assert!(!again, "what was under way was not begun again");
    running.stop().await;
    joining.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_to_another_owner_is_not_acted_on() {
    let bed = bed("usurped").await;
    let world = World::new(100);
    let mut executor = answering(&bed, &world);
    executor.usurper = Some(bed.pool.clone());
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    ask_on(&bed, 0, &asked("one", 1)).await;
    done(&bed, 1).await;
    // Its first answer was on the log, but the request was not its own any more.
    // It went on once it had claimed the partition back.
    let confirmed = world.confirmed.lock().unwrap().clone();
    let (last, before) = confirmed.split_last().unwrap();
    assert!(*last && !before.is_empty(), "{confirmed:?}");
    assert!(!before.contains(&true), "{confirmed:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_owner_before_that_comes_late_is_the_answer() {
    let bed = bed("late answer").await;
    let world = World::new(0);
    let first = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(first, bed.deps(), stop));
    ask_on(&bed, 0, &asked("one", 1)).await;
    eventually(PATIENCE, || async { answers(&bed).await.len() == 1 })
        .await
        .unwrap();
    running.crash().await;

    let world = World::new(100);
    let mut second = answering(&bed, &world);
    second.latecomer = Some(bed.producer.clone());
    let running = Running::start(|stop| run_executor(second, bed.deps(), stop));
    eventually(PATIENCE, || async { checkpoint(&bed, 0).await == Some(1) })
        .await
        .unwrap();
    running.stop().await;
    let mut found: Vec<_> = bed
        .decode_all::<Answers>()
        .await
        .into_iter()
        .map(|answer| (answer.meta.version, answer.event))
        .collect();
    found.dedup();
    // The last one has the place of the one before it, so that readers drop it.
    let late = Answered::Done { number: 99 };
    assert_eq!(
        found,
        [(1, Answered::Started), (2, late), (2, Answered::Started)]
    );
    assert_eq!(world.begun(), [("one".to_owned(), 1)]);
}
