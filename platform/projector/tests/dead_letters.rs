//! Records that fail by themselves: tried, given up, and handed back to the one
//! consumer that gave them up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::answering::{World, answering};
use common::counter::{Command, Count, Counter, TooMany};
use common::wire::{Answered, Answers, Asked, Asks, Counted, Counts, Pressed, Presses};
use common::{AnsweredEvents, Bed, DEAD_LETTERS, PATIENCE, Running, asked, bed, pressed};
use domain_kernel::{Recorded, Timestamp};
use platform_log::{DecodeError, Decoder, Encoder, Error, Outgoing, Position, Record, frame};
use platform_postgres::Migration;
use platform_postgres::tokio_postgres::{Error as PgError, Transaction};
use platform_projector::{
    DeadLetter, Failure, PgProjection, Process, RebuildOptions, rebuild_projection, redrive,
    request_metadata, run_executor, run_process, run_projection,
};
use platform_testkit::eventually;

/// Counts how often each press was applied, without a guard.
struct Applying {
    decoder: Decoder<Presses>,
}

impl PgProjection for Applying {
    const NAME: &'static str = "test-applying";
    type Event = Pressed;
    type Change = (String, i64);

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<Pressed>, _: &Position) -> Vec<(String, i64)> {
        vec![(recorded.event.stream.clone(), recorded.event.number as i64)]
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        changes: Vec<(String, i64)>,
    ) -> Result<(), PgError> {
        for (stream, number) in changes {
            tx.execute(
                "INSERT INTO applied AS a (stream, number, times) VALUES ($1, $2, 1)
                 ON CONFLICT (stream, number) DO UPDATE SET times = a.times + 1",
                &[&stream, &number],
            )
            .await?;
        }
        Ok(())
    }

    /// One number is refused by a trigger, for as long as the trigger is there.
    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "applied",
            sql: "CREATE TABLE applied (
                      stream text NOT NULL,
                      number bigint NOT NULL,
                      times bigint NOT NULL,
                      PRIMARY KEY (stream, number)
                  );
                  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                      $$BEGIN RAISE EXCEPTION 'not this one'; END$$;
                  CREATE TRIGGER refuse BEFORE INSERT ON applied
                      FOR EACH ROW WHEN (NEW.number = 50) EXECUTE FUNCTION refuse();",
        }]
    }

    fn digest_query(&self) -> &'static str {
        "SELECT stream || '/' || number || '/' || times FROM applied"
    }
}

fn applying(bed: &Bed) -> Applying {
    Applying {
        decoder: bed.decoder(),
    }
}

/// The same under another name.
struct Other(Applying);

impl PgProjection for Other {
    const NAME: &'static str = "test-other";
    type Event = Pressed;
    type Change = (String, i64);

    fn topics(&self) -> Vec<&'static str> {
        self.0.topics()
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        self.0.decode(record).await
    }

    fn project(&self, recorded: &Recorded<Pressed>, at: &Position) -> Vec<(String, i64)> {
        self.0.project(recorded, at)
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        changes: Vec<(String, i64)>,
    ) -> Result<(), PgError> {
        self.0.apply(tx, changes).await
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "applied",
            sql: "CREATE TABLE applied (
                      stream text NOT NULL,
                      number bigint NOT NULL,
                      times bigint NOT NULL,
                      PRIMARY KEY (stream, number)
                  )",
        }]
    }

    fn digest_query(&self) -> &'static str {
        self.0.digest_query()
    }
}

async fn letters(bed: &Bed, count: usize) -> Vec<DeadLetter> {
    eventually(PATIENCE, || async {
        let records = bed.read_all(DEAD_LETTERS).await;
        let letters: Vec<DeadLetter> = records.iter().filter_map(DeadLetter::read).collect();
        (letters.len() >= count)
            .then_some(letters)
            .ok_or(records.len())
    })
    .await
    .unwrap()
}

/// What the command line appends, but for its content.
async fn hand_back(bed: &Bed, letter: &DeadLetter) {
    let event = Record {
        headers: Vec::new(),
        value: None,
        ..letter.original.clone()
    };
    let event = Outgoing::dead_letter(DEAD_LETTERS, &event, &[]);
    bed.producer.append(redrive(event, letter)).await.unwrap();
}

async fn number_is(bed: &Bed, sql: &str, wanted: i64) {
    eventually(PATIENCE, || async {
        let found = bed.number(sql).await;
        (found == Some(wanted)).then_some(()).ok_or(found)
    })
    .await
    .unwrap();
}

const ROWS: &str = "SELECT count(*) FROM test_applying.applied";
const REFUSED: &str = "SELECT times FROM test_applying.applied WHERE number = 50";
const OTHERS: &str = "SELECT sum(times)::bigint FROM test_other.applied";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_projection_gave_up_comes_back_to_it_alone() {
    let bed = bed("letters projection").await;
    let first = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    let other = Running::start(|stop| run_projection(Other(applying(&bed)), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 49)).await;
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 51)).await;
    bed.press_on(1, &pressed("b", 1)).await;

    let given_up = letters(&bed, 1).await;
    number_is(&bed, ROWS, 3).await;
    number_is(&bed, OTHERS, 4).await;
    let letter = &given_up[0];
    assert_eq!(letter.consumer, "test-applying");
    assert_eq!(letter.attempts, 3);
    assert!(letter.causes.len() > 1, "{:?}", letter.causes);
    assert!(letter.reason.contains("not this one"), "{}", letter.reason);
    assert!(letter.at.is_some());
    assert_eq!(letter.original.position().to_string(), "mesh.presses/0@1");
    let on_log = bed.read_all("mesh.presses").await;
    let original = on_log
        .iter()
        .find(|record| record.position() == letter.original.position())
        .unwrap();
    assert_eq!(letter.original.key, original.key);
    assert_eq!(letter.original.headers, original.headers);
    assert_eq!(letter.original.value, original.value);

    // Handed back while it still fails, it is given up again, under the same id.
    hand_back(&bed, letter).await;
    let given_up = letters(&bed, 2).await;
    assert_eq!(given_up[1].id, letter.id);
    assert_eq!(given_up[1].original, letter.original);

    let client = bed.pool.get().await.unwrap();
    client
        .batch_execute("DROP TRIGGER refuse ON test_applying.applied")
        .await
        .unwrap();
    hand_back(&bed, letter).await;
    number_is(&bed, REFUSED, 1).await;
    // In order behind the redrive, for whoever would have acted on it by mistake.
    bed.press_on(0, &pressed("a", 52)).await;
    number_is(&bed, ROWS, 5).await;
    number_is(&bed, OTHERS, 5).await;
    other.stop().await;
    first.stop().await;
    assert_eq!(letters(&bed, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_partition_of_a_record_that_is_tried_again_waits() {
    let mut bed = bed("letters held").await;
    // For ever, as this test goes.
    bed.settings.dead_letters.attempts = 1_000_000;
    bed.settings.dead_letters.longest_pause_ms = 100;
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 51)).await;
    for number in 0..20 {
        bed.press_on(1, &pressed("b", number)).await;
        number_is(&bed, ROWS, number as i64 + 1).await;
    }
    let generation = "SELECT max(generation) FROM test_applying.mesh_checkpoint";
    let before = bed.number(generation).await;
    let client = bed.pool.get().await.unwrap();
    client
        .batch_execute("DROP TRIGGER refuse ON test_applying.applied")
        .await
        .unwrap();
    // What passes after all is handled in its place, and nothing twice.
    number_is(&bed, ROWS, 22).await;
    number_is(&bed, "SELECT max(times) FROM test_applying.applied", 1).await;
    assert_eq!(
        bed.number(generation).await,
        before,
        "nothing was let go of"
    );
    running.stop().await;
    assert_eq!(bed.read_all(DEAD_LETTERS).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_schema_is_waited_for_and_then_given_up() {
    let bed = bed("letters schema").await;
    let good = bed.encoder.encode::<Presses>(&pressed("a", 1)).unwrap();
    let unknown = Record {
        topic: "mesh.presses".to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: Some("a".into()),
        headers: good.headers().to_vec(),
        value: Some(frame(2_000_000_000, b"whatever")),
    };
    let outgoing = Outgoing::dead_letter("mesh.presses", &unknown, &[]);
    bed.producer.append(outgoing.to_partition(0)).await.unwrap();
    bed.press_on(0, &pressed("a", 2)).await;
    let begun = std::time::Instant::now();
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    let given_up = letters(&bed, 1).await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    assert!(given_up[0].attempts >= 3, "{}", given_up[0].attempts);
    assert!(
        given_up[0]
            .causes
            .iter()
            .any(|cause| cause.contains("2000000000")),
        "{:?}",
        given_up[0].causes
    );
    number_is(&bed, ROWS, 1).await;
    running.stop().await;

    // A rebuild passes over what was given up, and over nothing else.
    let options = RebuildOptions::default();
    rebuild_projection(Arc::new(applying(&bed)), &bed.deps(), &options)
        .await
        .unwrap();
    number_is(&bed, ROWS, 1).await;
    let again = Outgoing::dead_letter("mesh.presses", &unknown, &[]);
    bed.producer.append(again.to_partition(0)).await.unwrap();
    let stopped = rebuild_projection(Arc::new(applying(&bed)), &bed.deps(), &options).await;
    assert!(stopped.is_err(), "a rebuild does not give up records");
}

struct Counting {
    presses: Decoder<Presses>,
    counts: Decoder<Counts>,
    encoder: Encoder,
    broken: Arc<AtomicBool>,
}

impl Process for Counting {
    type Decider = Counter;
    type Input = Pressed;
    type Route = u64;
    const NAME: &'static str = "test-letters-counting";

    fn inputs(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    fn state_topic(&self) -> &'static str {
        "mesh.counts"
    }

    fn source(&self) -> &'static str {
        "/agentmesh/test"
    }

    async fn decode(&self, record: &Record) -> Result<Option<Recorded<Pressed>>, DecodeError> {
        Ok(Some(self.presses.decode(record).await?))
    }

    async fn decode_own(&self, record: &Record) -> Result<Recorded<Counted>, DecodeError> {
        self.counts.decode(record).await
    }

    async fn route(
        &self,
        _: i32,
        input: &Recorded<Pressed>,
    ) -> Result<Vec<(String, u64)>, Failure> {
        if input.event.number == 50 && self.broken.load(Ordering::SeqCst) {
            return Err(Failure::suspect("nobody knows where to"));
        }
        Ok(vec![(input.event.stream.clone(), input.event.number)])
    }

    fn command(
        &self,
        input: &Recorded<Pressed>,
        number: u64,
        _: &Count,
        _: Timestamp,
    ) -> Result<Option<Command>, Failure> {
        Ok(Some(Command::Press {
            stream: input.event.stream.clone(),
            press: input.meta.id.to_string(),
            number,
        }))
    }

    fn rejected(
        &self,
        _: &Recorded<Pressed>,
        _: &str,
        _: &TooMany,
    ) -> platform_projector::Rejected {
        platform_projector::Rejected::Ignore
    }

    fn encode_event(&self, recorded: &Recorded<Counted>) -> Result<Outgoing, Error> {
        self.encoder.encode::<Counts>(recorded)
    }

    fn encode_request(
        &self,
        cause: &Recorded<Counted>,
        ordinal: usize,
        request: Asked,
    ) -> Result<Outgoing, Error> {
        let stream = request.stream.clone();
        self.encoder.encode::<Asks>(&Recorded {
            meta: request_metadata(&cause.meta, ordinal, stream, 1, self.source()),
            event: request,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_decider_gave_up_is_decided_once_when_it_comes_back() {
    let bed = bed("letters decider").await;
    let broken = Arc::new(AtomicBool::new(true));
    let counting = Counting {
        presses: bed.decoder(),
        counts: bed.decoder(),
        encoder: bed.encoder.clone(),
        broken: Arc::clone(&broken),
    };
    let running = Running::start(|stop| run_process(counting, bed.deps(), stop));
    bed.press_on(0, &pressed("a", 1)).await;
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 2)).await;
    let given_up = letters(&bed, 1).await;
    assert_eq!(given_up[0].consumer, "test-letters-counting");
    assert_eq!(given_up[0].attempts, 3);
    let total = "SELECT (state->>'total')::bigint FROM test_letters_counting.mesh_state";
    number_is(&bed, total, 3).await;

    broken.store(false, Ordering::SeqCst);
    // Twice, as two operators would.
    hand_back(&bed, &given_up[0]).await;
    hand_back(&bed, &given_up[0]).await;
    number_is(&bed, total, 53).await;
    bed.press_on(0, &pressed("a", 3)).await;
    number_is(&bed, total, 56).await;
    running.stop().await;
    assert_eq!(bed.decode_all::<Counts>().await.len(), 4);
    assert_eq!(letters(&bed, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_executor_gave_up_is_carried_out_when_it_comes_back() {
    let bed = bed("letters executor").await;
    let world = World::new(100);
    world.broken.store(true, Ordering::SeqCst);
    let executor = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    bed.ask(&asked("fails", 50)).await;
    bed.ask(&asked("fine", 1)).await;
    let given_up = letters(&bed, 1).await;
    assert_eq!(given_up[0].attempts, 3);
    let unfinished = "SELECT count(*) FROM test_answering.mesh_finished";
    number_is(&bed, unfinished, 1).await;
    let ends = bed.admin.high_watermarks("mesh.asks").await.unwrap();
    let asked_for: i64 = ends.iter().map(|(_, end)| end).sum();
    let passed = "SELECT sum(next_offset)::bigint FROM test_answering.mesh_checkpoint
                  WHERE topic = 'mesh.asks'";
    number_is(&bed, passed, asked_for).await;
    running.stop().await;

    // Another process, long after: it has never heard of what was answered.
    world.broken.store(false, Ordering::SeqCst);
    let executor = answering(&bed, &world);
    let running = Running::start(|stop| run_executor(executor, bed.deps(), stop));
    hand_back(&bed, &given_up[0]).await;
    hand_back(&bed, &given_up[0]).await;
    number_is(&bed, unfinished, 2).await;
    running.stop().await;
    let answers: AnsweredEvents = bed.decode_all::<Answers>().await;
    let of_it: Vec<(u64, Answered)> = answers
        .into_iter()
        .filter(|answer| answer.meta.stream == "fails")
        .map(|answer| (answer.meta.version, answer.event))
        .collect();
    assert_eq!(
        of_it,
        [(1, Answered::Started), (2, Answered::Done { number: 50 })],
        "the answer follows on what was answered before it was given up"
    );
    assert_eq!(world.done.load(Ordering::SeqCst), 2);
}
