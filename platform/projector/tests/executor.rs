//! An executor: every request is answered once, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "executor/takeovers.rs"]
mod takeovers;

use common::answering::{World, answering, answers, ask_on, checkpoint, done};
use common::wire::{Answered, Answers};
use common::{DEAD_LETTERS, PATIENCE, Running, asked, bed, meta};
use domain_kernel::Recorded;
use platform_projector::run_executor;
use platform_testkit::eventually;

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
