use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_testkit::eventually;

use crate::scene::RECOVERY;
use crate::{Fault, Scene, When};

pub(super) const KILLED_AT_COMMIT: Fault =
    Fault::new("F14", "Postgres killed at a COMMIT", killed_at_commit);
pub(super) const ANSWERS_LOST: Fault = Fault::new("F14", "answers to COMMIT lost", answers_lost);

pub(super) const STANDBY: Fault =
    Fault::new("F14", "Postgres killed, its standby promoted", promoted).only_long();

const COMMIT: &[u8] = b"COMMIT";
/// The very moment in which nobody can know whether it was committed.
fn killed_at_commit<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let times = scene.profile.pick(2, 4);
        for _ in 0..times {
            let kill = scene.stand.killer("postgres").await?;
            let skip = usize::try_from(scene.dice().below(12))?;
            scene
                .stand
                .postgres
                .trap(COMMIT, When::AfterRequest, skip, 1, kill);
            let killed = eventually(RECOVERY, || async { !scene.stand.runs("postgres").await });
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
        let lost = eventually(RECOVERY, || async {
            scene.stand.postgres.sprung() >= before + times as u64
        });
        lost.await.context("too few COMMITs came past")?;
        scene.note(format!("{times} commits whose answer was lost"));
        Ok(())
    }
    .boxed()
}

/// Another server goes on in its place, under another address. What was
/// committed is there: the standby has it before a commit is answered.
fn promoted<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let stand = scene.stand;
        let observer = stand.observer().await?;
        let primary = stand.postgres.target().context("nothing stands behind")?;
        let standby = stand.start_standby().await?;
        observer
            .rows("ALTER SYSTEM SET synchronous_standby_names = '*'", &[])
            .await?;
        observer.rows("SELECT pg_reload_conf()", &[]).await?;
        eventually(RECOVERY, || async {
            let rows = observer
                .rows(
                    "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
                    &[],
                )
                .await?;
            anyhow::ensure!(!rows.is_empty(), "nobody follows");
            Ok(())
        })
        .await
        .context("the standby is not in step")?;
        scene.acknowledged_more(4).await?;

        let kill = stand.killer("postgres").await?;
        let skip = usize::try_from(scene.dice().below(12))?;
        stand
            .postgres
            .trap(COMMIT, When::AfterRequest, skip, 1, kill);
        let killed = eventually(RECOVERY, || async { !stand.runs("postgres").await });
        killed.await.context("no COMMIT came past")?;
        stand.promote_standby().await?;
        stand.postgres.stand_before(standby);
        stand.postgres.reset();
        scene.acknowledged_more(6).await?;
        scene.sleep(3_000, 20_000).await;

        // Back to where the faults after this one look for it.
        stand.adopt_standby().await?;
        stand.postgres.stand_before(primary);
        stand.postgres.reset();
        scene.note(
            "killed right after a COMMIT was sent; the standby took over under another address",
        );
        Ok(())
    }
    .boxed()
}
