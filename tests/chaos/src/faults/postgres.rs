use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_testkit::eventually;

use crate::{Fault, Scene, When};

pub(super) const KILLED_AT_COMMIT: Fault =
    Fault::new("F14", "Postgres killed at a COMMIT", killed_at_commit);
pub(super) const ANSWERS_LOST: Fault = Fault::new("F14", "answers to COMMIT lost", answers_lost);

const COMMIT: &[u8] = b"COMMIT";
const PATIENCE: Duration = Duration::from_secs(60);

/// The very moment in which nobody can know whether it was committed.
fn killed_at_commit<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let times = scene.profile.pick(2, 6);
        for _ in 0..times {
            let kill = scene.stand.killer("postgres").await?;
            let skip = usize::try_from(scene.dice().below(12))?;
            scene
                .stand
                .postgres
                .trap(COMMIT, When::AfterRequest, skip, 1, kill);
            let killed = eventually(PATIENCE, || async { !scene.stand.runs("postgres").await });
            killed.await.context("no COMMIT came past")?;
            scene.sleep(500, 5_000).await;
            scene.stand.start_server("postgres").await?;
            scene.acknowledged_more(2).await?;
        }
        scene.note(format!(
            "killed {times} times right after a COMMIT was sent"
        ));
        Ok(())
    }
    .boxed()
}

/// It was committed, and whoever did it is not told.
fn answers_lost<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let times = scene.profile.pick(15, 100);
        let before = scene.stand.postgres.sprung();
        scene
            .stand
            .postgres
            .trap(COMMIT, When::BeforeAnswer, 0, times, || ());
        let lost = eventually(PATIENCE * 3, || async {
            scene.stand.postgres.sprung() >= before + times as u64
        });
        lost.await.context("too few COMMITs came past")?;
        scene.note(format!("{times} commits whose answer was lost"));
        Ok(())
    }
    .boxed()
}
