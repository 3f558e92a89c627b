use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};
use platform_http::{ClientOptions, client};
use platform_testkit::{Proc, Signal, eventually};
use tests_kit::Observer;

use crate::scene::RECOVERY;
use crate::{Fault, Scene};

pub(super) const PAUSED: Fault = Fault::new("F4", "paused until others took over", paused);

/// A role, and the schema in which it keeps its checkpoints.
type Role = (&'static str, &'static str);

const ROLES: [Role; 4] = [
    ("projections", "deliveries"),
    ("federation", "federation"),
    ("workflow", "workflow"),
    ("sync", "sync"),
];

/// Stopped for longer than the group waits, until others own every partition;
/// then it goes on where it stopped, with records in hand that are not its own
/// any more.
fn paused<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let mesh = &scene.stand.mesh;
        let observer = scene.stand.observer().await?;
        let rounds = scene.profile.pick(1, 2);
        // A short run stops half of them: each takes an heir of its own to start.
        let mut roles = ROLES;
        scene.dice().shuffle(&mut roles);
        let roles = &roles[..scene.profile.pick(2, ROLES.len())];
        let mut refused = 0;
        for round in 0..rounds {
            let mut zombies = Vec::new();
            for (role, _) in roles {
                zombies.push(mesh.identity(role)?);
            }
            let mut others: Vec<(&'static str, Proc)> = Vec::new();
            for (role, _) in roles {
                others.push((*role, mesh.another(role, &format!("heir-{round}-{role}"))?));
            }
            // Members of the groups before the others are stopped: half of the
            // partitions are theirs, and the other half comes to them.
            try_join_all(others.iter_mut().map(|(_, other)| other.ready())).await?;
            let before = owners(&observer, roles).await?;
            let fenced = fenced(scene, roles).await;
            for zombie in &zombies {
                zombie.signal(Signal::STOP)?;
            }
            let taken = eventually(RECOVERY, || async {
                let now = owners(&observer, roles).await?;
                for (role, schema) in roles {
                    // Whoever is left is the one owner of all of it.
                    let owners: std::collections::BTreeSet<&String> = now
                        .iter()
                        .filter(|((of, _, _), _)| of == schema)
                        .map(|(_, owner)| owner)
                        .collect();
                    ensure!(
                        owners.len() == 1,
                        "{role} still has {} owners",
                        owners.len()
                    );
                }
                ensure!(now != before, "nothing changed hands");
                Ok(())
            });
            let taken = taken.await;
            // Work that goes on meanwhile is what a zombie could spoil.
            let worked = scene.acknowledged_more(3).await;
            for zombie in &zombies {
                zombie.signal(Signal::CONT)?;
            }
            taken.context("the others do not take over")?;
            worked?;
            scene.acknowledged_more(3).await?;
            refused += self::fenced(scene, roles).await.saturating_sub(fenced);
            // The heirs go, some of them without a word.
            for (_, mut heir) in others {
                if scene.dice().below(2) == 0 {
                    heir.kill()?;
                } else {
                    heir.terminate().await?;
                }
            }
        }
        scene.note(format!(
            "{} stopped {rounds} times; {refused} commits of zombies refused",
            roles
                .iter()
                .map(|(role, _)| *role)
                .collect::<Vec<_>>()
                .join(", ")
        ));
        Ok(())
    }
    .boxed()
}

type Place = (String, String, i32);

/// Who owns each partition of each of the schemas.
async fn owners(observer: &Observer, roles: &[Role]) -> anyhow::Result<BTreeMap<Place, String>> {
    let mut owners = BTreeMap::new();
    for (_, schema) in roles {
        let query = format!("SELECT topic, partition, owner FROM \"{schema}\".mesh_checkpoint");
        for row in observer.rows(&query, &[]).await? {
            let place = ((*schema).to_owned(), row.get(0), row.get(1));
            owners.insert(place, row.get(2));
        }
    }
    Ok(owners)
}

/// How often a commit was refused because its owner was not the owner any
/// more, by the metrics of the roles that were stopped.
async fn fenced(scene: &Scene<'_>, roles: &[Role]) -> u64 {
    let mut count = 0;
    for (role, _) in roles {
        count += fenced_of(scene, role).await.unwrap_or(0);
    }
    count
}

async fn fenced_of(scene: &Scene<'_>, role: &str) -> anyhow::Result<u64> {
    let url = format!("http://{}/metrics", scene.stand.mesh.ops(role)?);
    let http = client(ClientOptions::with_timeout(Duration::from_secs(5)))?;
    let text = http.get(url).send().await?.text().await?;
    let counts = text
        .lines()
        .filter(|line| line.starts_with("agentmesh_runner_halts_total"))
        .filter(|line| line.contains("reason=\"fenced\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum::<f64>() as u64)
}
