use anyhow::{Context as _, anyhow};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_testkit::eventually;

use crate::scene::RECOVERY;
use crate::stand::{BROKERS, Disks};
use crate::{Fault, Scene, Stand};

pub(super) const TWO_BROKERS: Fault =
    Fault::new("F8", "disks of two brokers full", brokers).needing(disks_are_missing);
pub(super) const POSTGRES: Fault =
    Fault::new("F8", "disk of Postgres full", postgres).needing(disks_are_missing);
pub(super) const VECTORS: Fault =
    Fault::new("F8", "disk of the vector files full", vectors).needing(disks_are_missing);

fn disks_are_missing(stand: &Stand) -> Option<String> {
    let why = stand.disks.as_ref().err()?;
    Some(format!("no small disk can be mounted here: {why}"))
}

fn disks<'a>(scene: &Scene<'a>) -> anyhow::Result<&'a Disks> {
    scene.stand.disks.as_ref().map_err(|why| anyhow!("{why}"))
}

/// With room on one broker only, nothing may be acknowledged. A broker that
/// finds no room ends; whoever watches over it starts it again when there is.
fn brokers<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let disks = disks(scene)?;
        let spared = usize::try_from(scene.dice().below(3)).unwrap_or(0);
        let full: Vec<usize> = (0..BROKERS.len()).filter(|one| *one != spared).collect();
        for broker in &full {
            disks.brokers[*broker].fill()?;
        }
        let refused = scene.refused_more(4).await;
        scene.sleep(1_000, 15_000).await;
        for broker in &full {
            disks.brokers[*broker].free()?;
        }
        refused?;
        let ended = ended_brokers(scene.stand).await;
        for name in &ended {
            scene.note(format!("{name} had ended"));
        }
        scene.stand.start_servers(&ended).await?;
        // One that did not end by then may do so over what it missed.
        let well = eventually(RECOVERY, || async {
            let ended = ended_brokers(scene.stand).await;
            scene.stand.start_servers(&ended).await?;
            scene.acknowledged_more(2).await
        });
        well.await.context("brokers with room again")
    }
    .boxed()
}

async fn ended_brokers(stand: &Stand) -> Vec<&'static str> {
    let mut ended = Vec::new();
    for name in BROKERS {
        if !stand.runs(name).await {
            ended.push(name);
        }
    }
    ended
}

/// Nothing can be committed: read models stand still, and deliveries are taken
/// in all the while, because the log has room.
fn postgres<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let disks = disks(scene)?;
        disks.postgres.fill()?;
        let observer = scene.stand.observer().await?;
        let refused = eventually(RECOVERY, || async {
            let written = observer
                .rows(
                    "CREATE TABLE chaos_full AS SELECT generate_series(1, 1000000)",
                    &[],
                )
                .await;
            written.is_err()
        })
        .await;
        let worked = scene.acknowledged_more(4).await;
        scene.sleep(3_000, 20_000).await;
        disks.postgres.free()?;
        refused.context("Postgres still finds room")?;
        worked.context("deliveries while Postgres is full")?;
        scene.lifted();
        // It ends when it cannot write ahead; whoever watches over it starts it.
        eventually(RECOVERY, || async {
            if !scene.stand.runs("postgres").await {
                scene.stand.start_server("postgres").await?;
                scene.note("it had ended");
            }
            observer.rows("DROP TABLE IF EXISTS chaos_full", &[]).await
        })
        .await
        .context("Postgres with room again")?;
        Ok(())
    }
    .boxed()
}

/// The index goes on in memory; what was written of it half counts for nothing
/// when the role starts over a full disk.
fn vectors<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let disks = disks(scene)?;
        disks.vectors.fill()?;
        scene.acknowledged_more(6).await?;
        let killed = scene.stand.kill_role("federation").await;
        let worked = scene.acknowledged_more(4).await;
        disks.vectors.free()?;
        killed?;
        worked?;
        scene.acknowledged_more(2).await?;
        scene.stand.kill_role("federation").await?;
        scene.note("federation killed while it was full, and after");
        Ok(())
    }
    .boxed()
}
