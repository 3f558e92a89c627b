//! Executors that take over from one another: nothing is lost and nothing is
//! done twice, however the one before went.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use platform_projector::run_executor;
use platform_testkit::eventually;

use crate::common::answering::{World, answering, answers, ask_on, checkpoint, done};
use crate::common::wire::{Answered, Answers};
use crate::common::{AnsweredEvents, Bed, PATIENCE, Running, asked, bed};

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
