//! What an executor gives up.

use std::sync::atomic::Ordering;

use platform_projector::run_executor;

use crate::common::answering::{World, answering};
use crate::common::wire::{Answered, Answers};
use crate::common::{AnsweredEvents, Running, asked, bed};
use crate::{hand_back, letters, number_is};

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
