//! A process: what it appends and what it remembers stay one, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::counting::counting;
use common::proxy::Proxy;
use common::wire::{Asks, Counted, Counts};
use common::{Bed, CountedEvents, DEAD_LETTERS, PATIENCE, Running, bed, meta, pressed};
use domain_kernel::{Codec, Recorded};
use platform_log::Outgoing;
use platform_projector::run_process;
use platform_testkit::eventually;

/// The state topic as every reader sees it: of each version the first one.
fn first_ones(events: CountedEvents) -> BTreeMap<(String, u64), Recorded<Counted>> {
    let mut seen = BTreeMap::new();
    for event in events {
        seen.entry((event.meta.stream.clone(), event.meta.version))
            .or_insert(event);
    }
    seen
}

async fn total(bed: &Bed, stream: &str) -> Option<i64> {
    bed.number(&format!(
        "SELECT (state->>'total')::bigint FROM test_counting.mesh_state WHERE stream = '{stream}'"
    ))
    .await
}

async fn has_total(bed: &Bed, stream: &str, expected: i64) {
    eventually(PATIENCE, || async {
        let found = total(bed, stream).await;
        (found == Some(expected)).then_some(()).ok_or(found)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_press_is_counted_and_asks_once() {
    let bed = bed("counting").await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    bed.press("a", 1..101).await;
    bed.press("b", 1..101).await;
    has_total(&bed, "a", 5_050).await;
    has_total(&bed, "b", 5_050).await;
    // The same presses again.
    bed.press("a", 1..101).await;
    bed.press("c", 1..3).await;
    has_total(&bed, "c", 3).await;
    running.stop().await;

    let counts = bed.decode_all::<Counts>().await;
    assert_eq!(counts.len(), 202);
    let versions: Vec<u64> = counts
        .iter()
        .filter(|count| count.meta.stream == "a")
        .map(|count| count.meta.version)
        .collect();
    assert_eq!(versions, (1..=100).collect::<Vec<_>>());
    assert_eq!(total(&bed, "a").await, Some(5_050));
    let asks = bed.decode_all::<Asks>().await;
    let ids: BTreeSet<_> = asks.iter().map(|ask| ask.meta.id).collect();
    assert_eq!((asks.len(), ids.len()), (202, 202));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_between_append_and_commit_the_same_ids_are_emitted_again() {
    let bed = bed("crash").await;
    let proxy = Proxy::before(&bed.settings.postgres.url).await;
    let mut doomed = counting(&bed);
    doomed.cut = Some(proxy.switch());
    let deps = bed.deps_through(&proxy);
    let running = Running::start(|stop| run_process(doomed, deps, stop));
    bed.press("a", 1..4).await;
    // All that was decided in one go, which may not be all three.
    eventually(PATIENCE, || async {
        let counted = bed.decode_all::<Counts>().await.len();
        counted > 0 && bed.decode_all::<Asks>().await.len() == counted
    })
    .await
    .unwrap();
    running.crash().await;
    assert_eq!(total(&bed, "a").await, None, "nothing was committed");
    let before = bed.decode_all::<Asks>().await;

    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    has_total(&bed, "a", 6).await;
    bed.press("a", 4..5).await;
    has_total(&bed, "a", 10).await;
    running.stop().await;

    let counts = bed.decode_all::<Counts>().await;
    assert_eq!(counts.len(), 4, "what was on the log was not decided again");
    let seen = first_ones(counts);
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[&("a".to_owned(), 4)].event.total, 10);
    let after = bed.decode_all::<Asks>().await;
    assert_eq!(after.len(), before.len() + 4, "asked again");
    let ids: BTreeSet<_> = after.iter().map(|ask| ask.meta.id).collect();
    assert_eq!(ids.len(), 4, "under the same ids");
    for ask in &before {
        let again = after.iter().filter(|other| *other == ask).count();
        assert_eq!(again, 2, "the same to the byte");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_superseded_owner_appended_counts_as_readers_see_it() {
    let bed = bed("zombie").await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    bed.press("a", 1..2).await;
    has_total(&bed, "a", 1).await;

    // Somebody who does not know of it appends the next version first.
    let mut foreign = Recorded {
        meta: meta("zombie", "a", 2),
        event: Counted {
            stream: "a".to_owned(),
            press: "zombie".to_owned(),
            total: 101,
        },
    };
    foreign.meta.version = 2;
    let outgoing = bed.encoder.encode::<Counts>(&foreign).unwrap();
    bed.producer.append(outgoing).await.unwrap();
    bed.press("a", 10..11).await;
    has_total(&bed, "a", 111).await;
    running.stop().await;

    let seen = first_ones(bed.decode_all::<Counts>().await);
    let last = seen.values().next_back().unwrap();
    assert_eq!((last.meta.version, last.event.total), (3, 111));
    let asks = bed.decode_all::<Asks>().await;
    let asked: BTreeSet<u64> = asks.iter().map(|ask| ask.event.number).collect();
    assert_eq!(
        asked,
        BTreeSet::from([1, 101, 111]),
        "nothing is asked because of an event that readers do not see"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_and_rejected_inputs_become_dead_letters() {
    let bed = bed("rejected").await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    let mut poison = pressed("a", 1);
    poison.event.text = "poison".to_owned();
    bed.press_on(0, &poison).await;
    let mut rejected = pressed("a", 2);
    rejected.event.number = 2_000_000;
    bed.press_on(0, &rejected).await;
    bed.press_on(0, &pressed("a", 3)).await;
    has_total(&bed, "a", 3).await;
    running.stop().await;
    let letters = bed.read_all(DEAD_LETTERS).await;
    let reasons: BTreeSet<&str> = letters
        .iter()
        .map(|letter| letter.header("mesh-dead-letter-reason").unwrap())
        .collect();
    assert_eq!(
        reasons,
        BTreeSet::from(["can never succeed: told to", "can never succeed: too many"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_that_crash_and_come_and_go_count_every_press_once() {
    let bed = bed("kills").await;
    let keys = ["a", "b", "c", "d"];
    let mut last = None;
    for round in 0..6u64 {
        let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
        for key in keys {
            bed.press(key, round * 50..round * 50 + 50).await;
        }
        // Stopped wherever it happens to be, once something of the round is counted.
        let counted = (round * 200 + 1) as i64;
        eventually(PATIENCE, || async {
            bed.number("SELECT sum(version)::bigint FROM test_counting.mesh_state")
                .await
                .is_some_and(|versions| versions >= counted)
        })
        .await
        .unwrap();
        if let Some(before) = last.replace(running) {
            Running::crash(before).await;
        }
    }
    let expected: i64 = (0..300).sum();
    for key in keys {
        has_total(&bed, key, expected).await;
    }
    last.unwrap().stop().await;

    let seen = first_ones(bed.decode_all::<Counts>().await);
    for key in keys {
        let of_key: Vec<_> = seen
            .iter()
            .filter(|((stream, _), _)| stream == key)
            .map(|(_, event)| event)
            .collect();
        assert_eq!(of_key.len(), 300);
        let presses: BTreeSet<&str> = of_key
            .iter()
            .map(|event| event.event.press.as_str())
            .collect();
        assert_eq!(presses.len(), 300, "each press in one version");
        let last = of_key.iter().map(|event| event.event.total).max();
        assert_eq!(
            last,
            Some(expected as u64),
            "readers see what the states say"
        );
    }
    let asked: BTreeSet<_> = bed
        .decode_all::<Asks>()
        .await
        .iter()
        .map(|ask| ask.meta.id)
        .collect();
    let following: BTreeSet<_> = seen
        .values()
        .map(|event| domain_kernel::EventId::follows(event.meta.id, "request", 0))
        .collect();
    assert_eq!(
        asked, following,
        "asked for each event that counts, and for no other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_woken_when_its_time_has_come() {
    let bed = bed("timer").await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    bed.press("alarm", 5..6).await;
    has_total(&bed, "alarm", 1_005).await;
    running.stop().await;
    let counts = bed.decode_all::<Counts>().await;
    assert_eq!(counts.len(), 2);
    assert_eq!(counts[1].meta.causation, Some(counts[0].meta.id));
    assert_eq!(counts[1].meta.correlation, counts[0].meta.correlation);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_folded_anew_after_their_schema_was_dropped() {
    let bed = bed("refold").await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    bed.press("a", 1..11).await;
    has_total(&bed, "a", 55).await;
    for damage in [
        "DROP SCHEMA test_counting CASCADE",
        // As a release whose states have another shape would find them.
        "UPDATE test_counting.mesh_state SET state = '[]'",
    ] {
        let client = bed.pool.get().await.unwrap();
        client.batch_execute(damage).await.unwrap();
        bed.press("a", 1..11).await;
        has_total(&bed, "a", 55).await;
    }
    bed.press("a", 11..12).await;
    has_total(&bed, "a", 66).await;
    running.stop().await;
    assert_eq!(bed.decode_all::<Counts>().await.len(), 11);
    let ids: BTreeSet<_> = bed
        .decode_all::<Asks>()
        .await
        .iter()
        .map(|ask| ask.meta.id)
        .collect();
    assert_eq!(ids.len(), 11);
    assert_eq!(Counts::TOPIC, "mesh.counts");
}

/// A record as the runner notes it before it appends it.
fn noted(outgoing: &Outgoing) -> serde_json::Value {
    let headers: Vec<(String, String)> = outgoing
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), hex::encode(value)))
        .collect();
    serde_json::json!({
        "key": outgoing.key().map(hex::encode),
        "headers": headers,
        "value": outgoing.value().map(hex::encode),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_was_only_begun_is_completed() {
    let bed = bed("torn").await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 1)).await;
    has_total(&bed, "a", 1).await;
    running.stop().await;

    // Of a decision of three events the owner appended the first, and died.
    let drafts: Vec<Outgoing> = (2..5)
        .map(|version| {
            let event = Recorded {
                meta: meta("torn", "a", version),
                event: Counted {
                    stream: "a".to_owned(),
                    press: format!("part {version}"),
                    total: version * 10,
                },
            };
            let outgoing = bed.encoder.encode::<Counts>(&event).unwrap();
            outgoing.to_partition(0)
        })
        .collect();
    let records = serde_json::Value::from_iter(drafts.iter().map(noted)).to_string();
    bed.pool
        .get()
        .await
        .unwrap()
        .execute(
            "INSERT INTO test_counting.mesh_intent (partition, records) VALUES (0, $1)",
            &[&records],
        )
        .await
        .unwrap();
    bed.producer.append(drafts[0].clone()).await.unwrap();

    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    has_total(&bed, "a", 40).await;
    // It is completed once, however often somebody takes over.
    running.crash().await;
    let running = Running::start(|stop| run_process(counting(&bed), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 2)).await;
    has_total(&bed, "a", 42).await;
    running.stop().await;
    let counts = bed.decode_all::<Counts>().await;
    let versions: Vec<u64> = counts.iter().map(|count| count.meta.version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    let asked: BTreeSet<u64> = bed
        .decode_all::<Asks>()
        .await
        .iter()
        .map(|ask| ask.event.number)
        .collect();
    assert_eq!(asked, BTreeSet::from([1, 20, 30, 40, 42]));
}
