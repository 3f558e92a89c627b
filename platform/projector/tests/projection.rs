//! Read models in Postgres: exactly once, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::applying::{applying, with_registry};
use common::proxy::Proxy;
use common::wire::Presses;
use common::{Bed, DEAD_LETTERS, PATIENCE, Running, bed, pressed};
use platform_log::{Outgoing, Record, SchemaRegistry};
use platform_postgres::{Checkpoints, Claimed};
use platform_projector::{Checked, RebuildOptions, digest, rebuild_projection, run_projection};
use platform_testkit::eventually;
use tokio_util::sync::CancellationToken;

const ROWS: &str = "SELECT count(*) FROM test_presses.applied";
const TWICE: &str = "SELECT count(*) FROM test_presses.applied WHERE times <> 1";

async fn has_rows(bed: &Bed, rows: i64) {
    eventually(PATIENCE, || async {
        let found = bed.number(ROWS).await;
        (found == Some(rows)).then_some(()).ok_or(found)
    })
    .await
    .unwrap();
    assert_eq!(bed.number(TWICE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_at_its_checkpoint_after_an_abrupt_stop() {
    let bed = bed("resume").await;
    for round in 0..4u64 {
        let mut slow = applying(&bed);
        slow.slow = true;
        let running = Running::start(|stop| run_projection(slow, bed.deps(), stop));
        let (from, to) = (round * 100, round * 100 + 100);
        let expected = (round * 200 + 100) as i64;
        bed.press("a", from..to).await;
        bed.press("b", from..to).await;
        eventually(PATIENCE, || async {
            bed.number(ROWS).await.is_some_and(|rows| rows >= expected)
        })
        .await
        .unwrap();
        running.crash().await;
    }
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    has_rows(&bed, 800).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_after_another_claimed_is_refused() {
    let bed = bed("fenced").await;
    let zombie = applying(&bed);
    let gate = Arc::clone(&zombie.gate);
    let running = Running::start(|stop| run_projection(zombie, bed.deps(), stop));
    bed.press("a", 0..1).await;
    has_rows(&bed, 1).await;

    gate.send_replace(false);
    bed.press("a", 1..50).await;
    eventually(PATIENCE, || async { gate.receiver_count() > 0 })
        .await
        .unwrap();
    let other = Checkpoints::new("test_presses", "somebody else");
    let partitions: Vec<(&str, i32)> = (0..3).map(|number| ("mesh.presses", number)).collect();
    let claimed = other.claim(&bed.pool, &partitions).await.unwrap();
    // The other one has dealt with all of these (and keeps its rows to itself).
    let dealt_with: Vec<Claimed> = claimed
        .iter()
        .filter(|claim| claim.next_offset == 1)
        .map(|claim| Claimed {
            next_offset: 50,
            ..claim.clone()
        })
        .collect();
    assert_eq!(dealt_with.len(), 1);
    let mut client = bed.pool.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    other.advance(&tx, &dealt_with).await.unwrap();
    tx.commit().await.unwrap();
    gate.send_replace(true);

    // What the first one had in hand never shows: its commit is refused. It
    // claims again, because the group still assigns it the partitions, and goes
    // on behind what the other committed.
    bed.press("a", 50..60).await;
    has_rows(&bed, 11).await;
    assert_eq!(
        bed.number("SELECT count(*) FROM test_presses.applied WHERE number BETWEEN 1 AND 49")
            .await,
        Some(0)
    );
    let generations = Checkpoints::positions(&bed.pool, "test_presses")
        .await
        .unwrap();
    for claim in &claimed {
        let now = generations
            .iter()
            .find(|now| now.topic == claim.topic && now.partition == claim.partition)
            .unwrap();
        assert!(now.generation > claim.generation);
    }
    let refused = other.verify(&bed.pool, &claimed).await.unwrap_err();
    assert!(matches!(refused, platform_postgres::Error::Fenced { .. }));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go_and_every_press_counts_once() {
    let bed = bed("members").await;
    let taken = Arc::new(AtomicUsize::new(0));
    let member = || {
        let mut member = applying(&bed);
        (member.slow, member.taken) = (true, Arc::clone(&taken));
        member
    };
    let first = Running::start(|stop| run_projection(member(), bed.deps(), stop));
    for key in ["a", "b", "c", "d", "e", "f"] {
        bed.press(key, 0..100).await;
    }
    let second = Running::start(|stop| run_projection(member(), bed.deps(), stop));
    for key in ["a", "b", "c", "d", "e", "f"] {
        bed.press(key, 100..200).await;
    }
    has_rows(&bed, 1_200).await;
    first.stop().await;
    for key in ["a", "b", "c", "d", "e", "f"] {
        bed.press(key, 200..300).await;
    }
    has_rows(&bed, 1_800).await;
    second.stop().await;
    // What one had in hand was committed before the partition was another's, so
    // that nobody took it in hand again.
    assert_eq!(taken.load(Ordering::SeqCst), 1_800);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_of_two_with_one_name_ends() {
    let mut bed = bed("named").await;
    bed.settings.kafka.instance_id = Some("one".to_owned());
    let older = run_projection(applying(&bed), bed.deps(), CancellationToken::new());
    let older = tokio::spawn(older);
    bed.press("a", 0..10).await;
    has_rows(&bed, 10).await;

    let newer = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    let ended = tokio::time::timeout(PATIENCE, older).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert!(
        matches!(&error, platform_projector::Error::Log(why) if why.is_replaced()),
        "{error:?}"
    );
    bed.press("a", 10..20).await;
    has_rows(&bed, 20).await;
    newer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letters_and_the_partition_moves_on() {
    let bed = bed("poison").await;
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 1)).await;

    let good = bed.encoder.encode::<Presses>(&pressed("a", 2)).unwrap();
    let garbage = Record {
        topic: "mesh.presses".to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: Some("the key".into()),
        headers: good.headers().iter().cloned().collect(),
        value: Some(vec![0xde, 0xad].into()),
    };
    bed.producer
        .append(Outgoing::dead_letter("mesh.presses", &garbage, &[]).to_partition(0))
        .await
        .unwrap();
    let mut panics = pressed("a", 3);
    panics.event.text = "panic".to_owned();
    bed.press_on(0, &panics).await;
    bed.press_on(0, &pressed("a", 667)).await;
    bed.press_on(0, &pressed("a", 4)).await;
    has_rows(&bed, 2).await;

    let letters = bed.read_all(DEAD_LETTERS).await;
    assert_eq!(letters.len(), 3);
    let origins: Vec<&str> = ["0/1", "0/2", "0/3"].to_vec();
    for origin in origins {
        let origin = format!("mesh.presses/{origin}");
        let letter = letters
            .iter()
            .find(|letter| letter.header("mesh-dead-letter-origin") == Some(&origin))
            .unwrap();
        assert_eq!(
            letter.header("mesh-dead-letter-consumer"),
            Some("test-presses")
        );
        assert!(!letter.header("mesh-dead-letter-reason").unwrap().is_empty());
        assert_eq!(letter.header("ce_type"), Some("cloud.agentmesh.Pressed"));
    }
    let first = letters
        .iter()
        .find(|letter| letter.key.as_deref() == Some(b"the key"))
        .unwrap();
    assert_eq!(first.value.as_deref(), Some(&[0xde, 0xad][..]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_while_the_schema_registry_or_postgres_is_away() {
    let bed = bed("away").await;
    let registry = Proxy::before(&bed.settings.schema_registry.url).await;
    let postgres = Proxy::before(&bed.settings.postgres.url).await;
    let mut elsewhere = bed.settings.schema_registry.clone();
    elsewhere.url = registry.instead_of(&elsewhere.url);
    registry.cut();
    let waiting = with_registry(SchemaRegistry::new(&elsewhere).unwrap());
    let deps = bed.deps_through(&postgres);
    let ready = Arc::new(AtomicBool::new(false));
    let sink = Arc::clone(&ready);
    let deps = platform_projector::Deps {
        readiness: platform_projector::ReadinessSink::new(move |state| {
            sink.store(state.is_ok(), Ordering::SeqCst);
        }),
        ..deps
    };
    bed.press("a", 0..10).await;
    let running = Running::start(|stop| run_projection(waiting, deps, stop));
    eventually(PATIENCE, || async {
        bed.number("SELECT max(generation) FROM test_presses.mesh_checkpoint")
            .await
            .is_some_and(|generation| generation >= 3)
    })
    .await
    .unwrap();
    assert_eq!(bed.number(ROWS).await, Some(0));
    assert_eq!(bed.read_all(DEAD_LETTERS).await.len(), 0);
    registry.mend();
    has_rows(&bed, 10).await;

    postgres.cut();
    bed.press("a", 10..20).await;
    eventually(PATIENCE, || async { !ready.load(Ordering::SeqCst) })
        .await
        .unwrap();
    postgres.mend();
    has_rows(&bed, 20).await;
    assert_eq!(bed.read_all(DEAD_LETTERS).await.len(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_looked_up_and_not_repeated() {
    let bed = bed("ambiguous").await;
    let postgres = Proxy::before(&bed.settings.postgres.url).await;
    let deps = bed.deps_through(&postgres);
    let running = Running::start(|stop| run_projection(applying(&bed), deps, stop));
    bed.press("a", 0..10).await;
    has_rows(&bed, 10).await;
    for round in 1..4u64 {
        postgres.lose_answers_to_commits(1);
        bed.press("a", round * 10..round * 10 + 10).await;
        // No row is guarded, so that a repeated batch would show.
        has_rows(&bed, (round * 10 + 10) as i64).await;
        eventually(PATIENCE, || async { postgres.commits_to_lose() == 0 })
            .await
            .unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_ends_before_the_checkpoint_is_not_read_on() {
    let bed = bed("cut").await;
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    bed.press("a", 0..10).await;
    has_rows(&bed, 10).await;
    running.stop().await;
    let client = bed.pool.get().await.unwrap();
    client
        .batch_execute("UPDATE test_presses.mesh_checkpoint SET next_offset = next_offset + 5")
        .await
        .unwrap();
    let reasons = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&reasons);
    let deps = platform_projector::Deps {
        readiness: platform_projector::ReadinessSink::new(move |state| {
            told.lock().unwrap().extend(state.err().map(str::to_owned));
        }),
        ..bed.deps()
    };
    let running = Running::start(|stop| run_projection(applying(&bed), deps, stop));
    eventually(PATIENCE, || async {
        let reasons = reasons.lock().unwrap();
        reasons
            .iter()
            .any(|reason| reason.contains("rebuild is needed"))
    })
    .await
    .unwrap();
    bed.press("a", 10..20).await;
    rebuild_projection(
        Arc::new(applying(&bed)),
        &bed.deps(),
        &RebuildOptions::default(),
    )
    .await
    .unwrap();
    has_rows(&bed, 20).await;
    bed.press("a", 20..30).await;
    has_rows(&bed, 30).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_schema_or_table_is_filled_again_from_the_log() {
    let bed = bed("dropped").await;
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    bed.press("a", 0..10).await;
    has_rows(&bed, 10).await;
    for drop in [
        "DROP SCHEMA test_presses CASCADE",
        "DROP TABLE test_presses.applied",
        "DROP TABLE test_presses.mesh_checkpoint",
    ] {
        let client = bed.pool.get().await.unwrap();
        client.batch_execute(drop).await.unwrap();
        // Idle, so that nothing but its own look tells it.
        has_rows(&bed, 10).await;
        eventually(PATIENCE, || async {
            bed.number("SELECT count(*) FROM test_presses.mesh_checkpoint WHERE next_offset = 10")
                .await
                == Some(1)
        })
        .await
        .unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_digest_beside_a_live_runner() {
    let bed = bed("rebuild").await;
    let running = Running::start(|stop| run_projection(applying(&bed), bed.deps(), stop));
    for key in ["a", "b", "c", "d"] {
        bed.press(key, 0..200).await;
    }
    has_rows(&bed, 800).await;
    let before = digest(&applying(&bed), &bed.pool).await.unwrap();
    let client = bed.pool.get().await.unwrap();
    client
        .batch_execute("DELETE FROM test_presses.applied WHERE number % 3 = 0")
        .await
        .unwrap();
    assert_ne!(
        before,
        digest(&applying(&bed), &bed.pool).await.unwrap(),
        "the digest shows missing rows"
    );
    let rebuilt = rebuild_projection(
        Arc::new(applying(&bed)),
        &bed.deps(),
        &RebuildOptions::default(),
    )
    .await
    .unwrap();
    assert_eq!(rebuilt.records, 800);
    assert!(
        matches!(rebuilt.checked, Checked::Differs { .. }),
        "{:?}",
        rebuilt.checked
    );
    assert_eq!(before, digest(&applying(&bed), &bed.pool).await.unwrap());
    // The live runner goes on behind what was replayed.
    bed.press("a", 200..210).await;
    has_rows(&bed, 810).await;
    running.stop().await;
}
