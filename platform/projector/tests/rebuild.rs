//! Rebuilding beside a live read model: nothing is missed, nobody notices, and
//! what was interrupted is gone on with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::wire::{Pressed, Presses};
use common::{Bed, PATIENCE, Running, bed, pressed};
use domain_kernel::Recorded;
use platform_config::Settings;
use platform_log::{DecodeError, Decoder, Position, Producer, Record, SchemaRegistry};
use platform_postgres::tokio_postgres::types::Type;
use platform_postgres::tokio_postgres::{Error, Transaction};
use platform_postgres::{Checkpoints, Migration, OnConflict, Pool, Table};
use platform_projector::{
    Checked, Deps, PgProjection, ProgressSink, ReadinessSink, RebuildOptions, Rebuilt, Stage,
    Until, digest_of, digest_of_schema, drop_shadow, rebuild_projection, run_projection, shadows,
};
use platform_testkit::eventually;
use tokio_util::sync::CancellationToken;

const KEPT: Table<Row> = Table {
    name: "kept",
    columns: &[
        ("stream", Type::TEXT, |row| &row.stream),
        ("number", Type::INT8, |row| &row.number),
        ("text", Type::TEXT, |row| &row.text),
        ("log_partition", Type::INT4, |row| &row.partition),
        ("log_offset", Type::INT8, |row| &row.offset),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Each press once: the first one wins.
struct Kept {
    decoder: Decoder<Presses>,
}

struct Row {
    stream: String,
    number: i64,
    text: String,
    partition: i32,
    offset: i64,
}

impl PgProjection for Kept {
    const NAME: &'static str = "test-kept";
    type Event = Pressed;
    type Change = Row;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<Pressed>, position: &Position) -> Vec<Row> {
        vec![Row {
            stream: recorded.event.stream.clone(),
            number: recorded.event.number as i64,
            text: recorded.event.text.clone(),
            partition: position.partition,
            offset: position.offset,
        }]
    }

    async fn apply(&self, tx: &Transaction<'_>, rows: Vec<Row>) -> Result<(), Error> {
        KEPT.append(tx, &rows).await
    }

    fn written_once(&self) -> &'static [&'static str] {
        &["kept"]
    }

    async fn bulk(&self, tx: &Transaction<'_>, rows: Vec<Row>) -> Result<(), Error> {
        KEPT.copy(tx, &rows).await
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "kept",
            sql: "CREATE TABLE kept (
                      stream text NOT NULL,
                      number bigint NOT NULL CHECK (number <> 666666),
                      text text NOT NULL,
                      log_partition integer NOT NULL,
                      log_offset bigint NOT NULL,
                      PRIMARY KEY (stream, number)
                  );
                  CREATE INDEX kept_text ON kept (text)",
        }]
    }

    fn digest_query(&self) -> &'static str {
        "SELECT ROW(stream, number, text, log_partition, log_offset)::text, log_partition FROM kept"
    }
}

fn kept(bed: &Bed) -> Kept {
    Kept {
        decoder: bed.decoder(),
    }
}

async fn rebuild(bed: &Bed, options: &RebuildOptions) -> Rebuilt {
    rebuild_projection(Arc::new(kept(bed)), &bed.deps(), options)
        .await
        .unwrap()
}

fn keep_as(name: &str, until: Until) -> RebuildOptions {
    RebuildOptions {
        keep_as: Some(name.to_owned()),
        until,
        ..RebuildOptions::default()
    }
}

const ROWS: &str = "SELECT count(*) FROM test_kept.kept";

async fn has_rows(bed: &Bed, rows: i64) {
    eventually(PATIENCE, || async {
        let found = bed.number(ROWS).await;
        (found == Some(rows)).then_some(()).ok_or(found)
    })
    .await
    .unwrap();
}

/// The same press again, as somebody else recorded it, with another text.
async fn press_again(bed: &Bed, stream: &str, numbers: std::ops::Range<u64>) {
    let again = numbers.map(|number| {
        let mut again = pressed(stream, number);
        again.event.text = "again".to_owned();
        bed.encoder.encode::<Presses>(&again).unwrap()
    });
    bed.producer.append_all(again.collect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_live_traffic_nothing_is_missed_and_no_reader_notices() {
    let bed = Arc::new(bed("shadow").await);
    let running = Running::start(|stop| run_projection(kept(&bed), bed.deps(), stop));
    for stream in ["a", "b", "c", "d"] {
        bed.press(stream, 0..500).await;
    }
    press_again(&bed, "b", 0..100).await;
    has_rows(&bed, 2_000).await;

    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (bed, over) = (Arc::clone(&bed), Arc::clone(&over));
        tokio::spawn(async move {
            let mut pressed = 500;
            while !over.load(Ordering::Relaxed) {
                bed.press("a", pressed..pressed + 50).await;
                press_again(&bed, "a", pressed..pressed + 5).await;
                pressed += 50;
                tokio::task::yield_now().await;
            }
            pressed
        })
    };
    let reads = Arc::new(AtomicU64::new(0));
    let reader = {
        let (bed, over, reads) = (Arc::clone(&bed), Arc::clone(&over), Arc::clone(&reads));
        tokio::spawn(async move {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                let client = bed.pool.get().await.unwrap();
                let row = client.query_one(ROWS, &[]).await.unwrap();
                let rows: i64 = row.get(0);
                assert!(rows >= most, "{rows} rows after {most}");
                most = rows;
                reads.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    // A digest under traffic names the checkpoint it is of.
    let at = digest_of(&kept(&bed), &bed.pool).await.unwrap();
    for _ in 0..2 {
        let rebuilt = rebuild(&bed, &RebuildOptions::default()).await;
        assert_eq!(rebuilt.checked, Checked::Same);
        assert!(rebuilt.records >= 2_100, "{rebuilt:?}");
        // The runner claims again and goes on, before the next round.
        let read_to: i64 = rebuilt.offsets["mesh.presses"].values().sum();
        eventually(PATIENCE, || async {
            let at = Checkpoints::positions(&bed.pool, "test_kept")
                .await
                .unwrap();
            at.iter().map(|claim| claim.next_offset).sum::<i64>() > read_to
        })
        .await
        .unwrap();
    }
    over.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(reads.load(Ordering::Relaxed) > 0);
    let pressed = writer.await.unwrap();
    has_rows(&bed, 1_500 + pressed as i64).await;
    running.stop().await;

    // A replay to that checkpoint holds the same, partition by partition.
    let places = at.offsets["mesh.presses"]
        .iter()
        .map(|(partition, offset)| ("mesh.presses".to_owned(), *partition, *offset));
    let options = keep_as("then", Until::Offsets(places.collect()));
    rebuild(&bed, &options).await;
    let then = digest_of_schema(&kept(&bed), &bed.pool, "test_kept__then")
        .await
        .unwrap();
    assert_eq!(then, at);
    assert!(then.partitions.len() > 1, "{then:?}");

    // Nothing is left but what was to be kept, with the keys and indexes of the live one.
    let left = shadows("test-kept", &bed.pool).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].whole && left[0].name == "then");
    for schema in ["test_kept", "test_kept__then"] {
        let indexes = format!(
            "SELECT count(*) FROM pg_indexes WHERE schemaname = '{schema}' AND tablename = 'kept'"
        );
        assert_eq!(bed.number(&indexes).await, Some(2), "{schema}");
        let columns = format!(
            "SELECT count(*) FROM information_schema.columns
             WHERE table_schema = '{schema}' AND table_name = 'kept'"
        );
        assert_eq!(bed.number(&columns).await, Some(5), "{schema}");
    }
    drop_shadow("test-kept", "then", &bed.pool).await.unwrap();
    assert_eq!(shadows("test-kept", &bed.pool).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_is_gone_on_with() {
    let bed = bed("resumed").await;
    let streams: Vec<String> = (0..6).map(|number| format!("s{number}")).collect();
    for stream in &streams {
        bed.press(stream, 0..8_000).await;
    }
    let mut read_before = 0;
    let mut rounds = 0;
    let mut repeats = 0;
    // Killed in the middle of a batch, however far it has come, and once when it makes
    // the keys, until it is through.
    let rebuilt = loop {
        let (told, mut progress) = tokio::sync::mpsc::unbounded_channel();
        let options = RebuildOptions {
            progress: ProgressSink::new(move |at| {
                if at.stage == Stage::Indexing && repeats == 0 {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                let _ = told.send(at);
            }),
            ..RebuildOptions::default()
        };
        let (projection, deps) = (Arc::new(kept(&bed)), bed.deps());
        let rebuilding =
            tokio::spawn(async move { rebuild_projection(projection, &deps, &options).await });
        let mut halfway = false;
        while let Some(at) = progress.recv().await {
            if at.stage == Stage::Replaying && at.done > 0 && at.done < at.total {
                halfway = true;
                break;
            }
        }
        if halfway {
            rebuilding.abort();
        }
        match rebuilding.await {
            Ok(rebuilt) => break rebuilt.unwrap(),
            Err(died) if died.is_panic() => {
                // One index was made by then, and what comes meanwhile meets the keys.
                let sql = "SELECT statement FROM test_kept__next.mesh_shadow_key WHERE ordinal = 0";
                let client = bed.pool.get().await.unwrap();
                let statement: String = client.query_one(sql, &[]).await.unwrap().get(0);
                client.batch_execute(&statement).await.unwrap();
                bed.press("s0", 0..10).await;
                repeats = 10;
            }
            Err(_) => {}
        }
        // Its connection is gone before the next one may begin.
        eventually(PATIENCE, || async {
            bed.number(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .await
                == Some(0)
        })
        .await
        .unwrap();
        let left = shadows("test-kept", &bed.pool).await.unwrap();
        let read: i64 = left[0].offsets["mesh.presses"].values().sum();
        assert!(left[0].is_next() && !left[0].whole);
        assert!(read > read_before, "each round comes further");
        read_before = read;
        rounds += 1;
    };
    assert!(
        rounds > 1,
        "it was killed in the middle, and when it made the keys"
    );
    assert!(rebuilt.resumed_at >= read_before.unsigned_abs());
    assert_eq!(rebuilt.records + rebuilt.resumed_at, 48_010);
    has_rows(&bed, 48_000).await;
    assert_eq!(shadows("test-kept", &bed.pool).await.unwrap(), []);

    // Told to stop, it stops as well, and another request begins anew.
    let stop = CancellationToken::new();
    stop.cancel();
    let stopping = RebuildOptions {
        stop,
        ..RebuildOptions::default()
    };
    let stopped = rebuild_projection(Arc::new(kept(&bed)), &bed.deps(), &stopping).await;
    assert!(stopped.is_err());
    let fresh = RebuildOptions {
        fresh: true,
        ..RebuildOptions::default()
    };
    let rebuilt = rebuild(&bed, &fresh).await;
    assert_eq!((rebuilt.records, rebuilt.resumed_at), (48_010, 0));
    assert_eq!(rebuilt.checked, Checked::Same);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_time_it_holds_what_was_there_then() {
    let bed = bed("then").await;
    let running = Running::start(|stop| run_projection(kept(&bed), bed.deps(), stop));
    bed.press("a", 0..100).await;
    bed.press("b", 0..100).await;
    has_rows(&bed, 200).await;
    let before = digest_of(&kept(&bed), &bed.pool).await.unwrap();
    // Later records bear a later time, by the broker's own clock of milliseconds.
    let first = bed.read_all("mesh.presses").await;
    let last = first
        .iter()
        .map(|record| record.timestamp_ms)
        .max()
        .unwrap();
    eventually(PATIENCE, || async {
        std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 > last + 1
    })
    .await
    .unwrap();
    bed.press("a", 100..150).await;
    bed.press("c", 0..10).await;
    has_rows(&bed, 260).await;

    let options = keep_as("noon", Until::Time(last + 1));
    let rebuilt = rebuild(&bed, &options).await;
    assert_eq!((rebuilt.records, rebuilt.kept_out), (200, None));
    let noon = digest_of_schema(&kept(&bed), &bed.pool, "test_kept__noon")
        .await
        .unwrap();
    assert_eq!(noon.whole(), before.whole());
    // Asked again for the same, it is there.
    assert_eq!(rebuild(&bed, &options).await.records, 0);
    has_rows(&bed, 260).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_is_passed_over_and_one_rebuild_works_at_a_time() {
    let bed = bed("refused").await;
    bed.press("a", 666_600..666_700).await;
    let options = RebuildOptions::default();
    rebuild(&bed, &options).await;
    has_rows(&bed, 99).await;

    // Held in its first step by a lock on what it is to create.
    let lock = platform_postgres::lock_exclusive(&bed.pool, "test_kept__next")
        .await
        .unwrap();
    let busy = rebuild_projection(Arc::new(kept(&bed)), &bed.deps(), &options).await;
    let error = busy.unwrap_err();
    let cause = std::error::Error::source(&error)
        .and_then(std::error::Error::source)
        .unwrap();
    assert!(cause.to_string().contains("under way"), "{cause}");
    drop(lock);
}

/// What `a_process_that_is_killed_leaves_a_shadow_to_go_on_with` starts, and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test starts it as a process of its own"]
async fn a_process_that_rebuilds() {
    let settings = Arc::new(Settings::load(None).unwrap());
    let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
    let kept = Kept {
        decoder: Decoder::new(registry),
    };
    let deps = Deps {
        pool: Pool::connect(&settings.postgres).unwrap(),
        producer: Producer::new(&settings.kafka).unwrap(),
        readiness: ReadinessSink::none(),
        settings,
    };
    rebuild_projection(Arc::new(kept), &deps, &RebuildOptions::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_a_shadow_to_go_on_with() {
    let bed = bed("killed").await;
    for stream in ["a", "b", "c", "d", "e"] {
        bed.press(stream, 0..12_000).await;
    }
    let read = || async {
        let left = shadows("test-kept", &bed.pool).await.unwrap();
        let offsets = left
            .first()
            .and_then(|left| left.offsets.get("mesh.presses"));
        offsets.map_or(0, |offsets| offsets.values().sum::<i64>())
    };
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_rebuilds", "--ignored"])
        .env("AGENTMESH__KAFKA__BROKERS", &bed.settings.kafka.brokers)
        .env(
            "AGENTMESH__KAFKA__TOPIC_PREFIX",
            &bed.settings.kafka.topic_prefix,
        )
        .env(
            "AGENTMESH__SCHEMA_REGISTRY__URL",
            &bed.settings.schema_registry.url,
        )
        .env("AGENTMESH__POSTGRES__URL", &bed.settings.postgres.url)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually(PATIENCE, || async { read().await > 0 })
        .await
        .unwrap();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "it was killed, not through: {status}");
    // What it had sent may still be committed; then its locks go.
    let rebuilt = eventually(PATIENCE, || {
        let (projection, deps) = (Arc::new(kept(&bed)), bed.deps());
        async move { rebuild_projection(projection, &deps, &RebuildOptions::default()).await }
    })
    .await
    .unwrap();
    assert!(rebuilt.resumed_at > 0, "{rebuilt:?}");
    assert_eq!(rebuilt.records + rebuilt.resumed_at, 60_000);
    has_rows(&bed, 60_000).await;
}
