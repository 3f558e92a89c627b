use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_log::{Outgoing, Producer, Record};
use platform_testkit::{answers_http, eventually};

use crate::scene::RECOVERY;
use crate::{Fault, Scene};

pub(super) const AWAY: Fault = Fault::new("F12", "schema registry away", away);

const NAME: &str = "schema-registry";
const TOPIC: &str = "mesh.executions";
/// What is known stays known while the registry is away. A record with an id
/// nobody has met is waited for, unready, and neither skipped nor given up;
/// when the registry is back and does not know it either, it is a dead letter.
fn away<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let stand = scene.stand;
        let observer = stand.observer().await?;
        stand.kill(NAME).await?;
        let before = scene.load.correlations().len();
        scene.acknowledged_more(5).await?;
        // One of those goes all the way on ids that are known.
        let correlations = scene.load.correlations();
        let later = correlations.get(before).context("a delivery")?.clone();
        eventually(RECOVERY, || async {
            let rows = observer
                .rows(
                    "SELECT 1 FROM audit.event WHERE type = 'WorkflowSucceeded' AND correlation::text = $1",
                    &[&later],
                )
                .await;
            rows.is_ok_and(|rows| !rows.is_empty())
        })
        .await
        .context("a run does not end while the registry is away")?;

        let records = observer.topic(TOPIC).await?;
        let sample = records.last().context("no execution")?;
        let mut value = sample.value.clone().unwrap_or_default().to_vec();
        ensure!(value.len() > 5, "a record without a frame");
        let id = 900_000_000 + u32::try_from(scene.dice().below(1_000_000))?;
        value[1..5].copy_from_slice(&id.to_be_bytes());
        let strange = Record {
            value: Some(Bytes::from(value)),
            ..sample.clone()
        };
        let producer = Producer::new(&stand.direct().kafka)?;
        let outgoing = Outgoing::dead_letter(TOPIC, &strange, &[]).to_partition(strange.partition);
        let at = producer.append(outgoing).await?;
        let origin = format!("{}/{}/{}", at.topic, at.partition, at.offset);
        let ops = stand.mesh.ops("projections")?.to_string();
        eventually(RECOVERY, || async { !answers_http(&ops, "/readyz").await })
            .await
            .context("projections stay ready over a record they cannot read")?;
        scene.sleep(2_000, 15_000).await;
        let letters = || async {
            let letters = observer.topic("mesh.dead-letters").await?;
            let of_it = letters
                .iter()
                .filter(|letter| letter.header("mesh-dead-letter-origin") == Some(&origin));
            anyhow::Ok(of_it.count())
        };
        ensure!(letters().await? == 0, "given up while the registry was away");

        stand.start_server(NAME).await?;
        scene.lifted();
        eventually(RECOVERY, || async {
            let count = letters().await?;
            ensure!(count >= 3, "{count} dead letters of it");
            Ok(())
        })
        .await
        .context("nobody gives it up")?;
        scene.note("killed; a record with an unknown schema id was waited for, then given up");
        Ok(())
    }
    .boxed()
}
