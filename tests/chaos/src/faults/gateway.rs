use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use platform_testkit::{Signal, eventually};

use crate::load::ticket;
use crate::scene::RECOVERY;
use crate::{Delivery, Fault, Proxy, Scene, When};

pub(super) const AT_EACH_STEP: Fault =
    Fault::new("F1", "gateway killed at each step", at_each_step).only_long();
pub(super) const AT_RANDOM: Fault =
    Fault::new("F1", "gateway killed at random", at_random).only_long();
pub(super) const PAUSED: Fault = Fault::new("F2", "gateway paused", paused).only_long();

/// Where in a delivery the gateway dies, seen from outside: between any two
/// things that others can see of it. What is looked for is the delivery's own
/// id, or the key under which Redis remembers it.
const STEPS: [(&str, Where, When, usize); 8] = [
    ("it came", Where::Front, When::AfterRequest, 0),
    ("about to claim it", Where::Redis, When::BeforeRequest, 0),
    ("claimed", Where::Redis, When::BeforeAnswer, 0),
    ("about to append", Where::Kafka, When::BeforeRequest, 0),
    ("append sent", Where::Kafka, When::AfterRequest, 0),
    ("appended", Where::Kafka, When::BeforeAnswer, 0),
    ("about to remember", Where::Redis, When::BeforeRequest, 1),
    ("about to be answered", Where::Front, When::BeforeAnswer, 0),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Front,
    Redis,
    Kafka,
}

/// A delivery for each step, and the gateway dies when its delivery gets there.
/// Then its sender comes again.
fn at_each_step<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let stand = scene.stand;
        let sender = stand.sender()?;
        let mut deliveries = Vec::new();
        for (number, (step, place, when, skip)) in STEPS.into_iter().enumerate() {
            let key = format!("{}-step", scene.name);
            let word = scene.dice().word(16);
            let key = format!("{key}{number}");
            let mut delivery = Delivery::new(ticket(&key, 0, &word), &key, 0);
            let remembered = delivery.correlation();
            let (proxies, looked_for): (Vec<&Proxy>, &str) = match place {
                Where::Front => (vec![&stand.front], &word),
                Where::Kafka => (stand.kafka.iter().collect(), &word),
                Where::Redis => (vec![&stand.redis], &remembered),
            };
            for proxy in &proxies {
                let kill = stand.role_killer("gateway")?;
                proxy.trap(looked_for.as_bytes(), when, skip, 1, kill);
            }
            let posted = sender.post(&delivery.ticket).await;
            // What was answered before the gateway died counts as well.
            delivery.note(&posted);
            let revived = stand.revive("gateway").await;
            for proxy in proxies {
                proxy.forget_traps();
            }
            revived.with_context(|| format!("when {step}"))?;
            deliveries.push(delivery);
        }
        scene.lifted();
        // A delivery that was claimed waits until its claim is out of date.
        let again = deliveries.iter_mut().map(|delivery| {
            let sender = &sender;
            async move {
                for _ in 0..2 {
                    let answer = sender.deliver(&delivery.ticket).await;
                    delivery.note(&answer);
                }
                delivery
            }
        });
        for delivery in join_all(again).await {
            ensure!(
                delivery.acknowledged.is_some(),
                "{} is never acknowledged",
                delivery.ticket.subject
            );
        }
        scene.note(format!("killed at {} steps of a delivery", STEPS.len()));
        scene.judge_too(deliveries);
        Ok(())
    }
    .boxed()
}

fn at_random<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let times = scene.profile.pick(4, 6);
        for _ in 0..times {
            let pause = scene.dice().between(200, 1_500);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            scene.stand.kill_role("gateway").await?;
            scene.acknowledged_more(1).await?;
        }
        scene.note(format!("killed {times} times under load"));
        Ok(())
    }
    .boxed()
}

/// Stopped in its tracks with requests in hand. Senders give up, and come again
/// while the gateway still has what they sent before.
fn paused<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let stand = scene.stand;
        let sender = stand.sender()?;
        let gateway = stand.mesh.identity("gateway")?;
        let key = format!("{}-paused", scene.name);
        let mut deliveries: Vec<Delivery> = (0..6)
            .map(|number| {
                let key = format!("{key}{number}");
                let word = scene.dice().word(10);
                Delivery::new(ticket(&key, 0, &word), &key, 0)
            })
            .collect();
        // In hand when it is stopped, or waiting to be taken in.
        let posts = join_all(
            deliveries
                .iter()
                .map(|delivery| sender.post(&delivery.ticket)),
        );
        let stop = async {
            let pause = scene.dice().between(0, 20);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            gateway.signal(Signal::STOP)?;
            scene.sleep(7_000, 60_000).await;
            gateway.signal(Signal::CONT)?;
            scene.lifted();
            anyhow::Ok(())
        };
        let (answers, stopped) = tokio::join!(posts, stop);
        stopped?;
        for (delivery, answer) in deliveries.iter_mut().zip(&answers) {
            delivery.note(answer);
        }
        for delivery in &mut deliveries {
            let answer = sender.deliver(&delivery.ticket).await;
            delivery.note(&answer);
        }
        let seconds = scene.profile.pick(7, 60);
        let gave_up = answers.iter().filter(|answer| answer.is_err()).count();
        scene.note(format!(
            "stopped for {seconds} s with {gave_up} of 6 requests in hand"
        ));
        let ids: BTreeSet<String> = deliveries.iter().map(Delivery::correlation).collect();
        ensure!(ids.len() == deliveries.len(), "ids repeat");
        scene.judge_too(deliveries);
        // It serves others again.
        eventually(RECOVERY, || async { stand.mesh.runs("gateway") }).await?;
        Ok(())
    }
    .boxed()
}
