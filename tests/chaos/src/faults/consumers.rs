use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};

use crate::{Fault, Scene};

pub(super) const KILLED: Fault = Fault::new("F3", "consumers killed at random", killed);
pub(super) const STORM: Fault = Fault::new("F5", "rebalance storm", storm);

const ROLES: [&str; 7] = [
    "projections",
    "federation",
    "workflow",
    "agents",
    "sync",
    "crm-sandbox",
    "agent-servers",
];

/// Any of those that consume, and what two of them call, at any moment.
fn killed<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let rounds = scene.profile.pick(2, 4);
        let mut names = Vec::new();
        for _ in 0..rounds {
            let mut roles = ROLES;
            let pause = {
                let mut dice = scene.dice();
                dice.shuffle(&mut roles);
                dice.between(100, 1_200)
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // Three at once, each in its own moment.
            let deaths = roles[..3].iter().map(|role| {
                let pause = scene.dice().between(0, 400);
                async move {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    scene.stand.kill_role(role).await
                }
            });
            try_join_all(deaths).await?;
            names.extend_from_slice(&roles[..3]);
            scene.acknowledged_more(2).await?;
        }
        scene.note(format!("killed {}", names.join(", ")));
        Ok(())
    }
    .boxed()
}

/// A second member of each group comes and goes, every two seconds.
fn storm<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        const BEAT: Duration = Duration::from_secs(2);
        let rounds = scene.profile.pick(1, 4);
        let roles = ["projections", "workflow", "sync", "federation"];
        let mut changes = 0;
        for round in 0..rounds {
            let mut others = Vec::new();
            for role in roles {
                others.push(
                    scene
                        .stand
                        .mesh
                        .another(role, &format!("storm-{round}-{role}"))?,
                );
                changes += 1;
                tokio::time::sleep(BEAT / 4).await;
            }
            tokio::time::sleep(BEAT).await;
            for mut other in others {
                // Half of them leave as they should, half of them drop dead.
                if scene.dice().below(2) == 0 {
                    other.kill()?;
                } else {
                    other.terminate().await?;
                }
                changes += 1;
                tokio::time::sleep(BEAT / 4).await;
            }
            scene.acknowledged_more(1).await?;
        }
        scene.note(format!("{changes} joins and leaves"));
        Ok(())
    }
    .boxed()
}
