use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::stand::BROKERS;
use crate::{Conditions, Fault, Scene};

pub(super) const RESTARTED: Fault =
    Fault::new("F6", "brokers restarted in turn", restarted).only_long();
pub(super) const KILLED: Fault = Fault::new("F6", "broker killed", killed).only_long();
pub(super) const TWO_OF_THREE: Fault =
    Fault::new("F6", "two of three brokers killed", two_of_three);
pub(super) const CUT: Fault = Fault::new("F7", "brokers cut off", cut);
pub(super) const SLOW: Fault = Fault::new("F7", "brokers slow", slow).only_long();
pub(super) const HALF_OPEN: Fault =
    Fault::new("F7", "brokers do not answer", half_open).only_long();

/// A rolling restart: each broker hands over what it leads, ends and comes back.
fn restarted<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let mut order = BROKERS;
        scene.dice().shuffle(&mut order);
        let order = &order[..scene.profile.pick(2, 3)];
        for broker in order {
            scene.stand.stop_server(broker).await?;
            scene.acknowledged_more(2).await?;
            scene.stand.start_server(broker).await?;
            scene.acknowledged_more(2).await?;
        }
        scene.note(format!("{} restarted", order.join(", ")));
        Ok(())
    }
    .boxed()
}

/// Two copies of three are left, so everything goes on.
fn killed<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let times = scene.profile.pick(1, 2);
        for _ in 0..times {
            let broker = *scene.dice().pick(&BROKERS).context("a broker")?;
            scene.stand.kill(broker).await?;
            // Without it.
            scene.acknowledged_more(6).await?;
            scene.stand.start_server(broker).await?;
            scene.note(format!("{broker} killed"));
        }
        Ok(())
    }
    .boxed()
}

/// One copy is not enough: nothing may be acknowledged until another is back.
fn two_of_three<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let mut order = BROKERS;
        scene.dice().shuffle(&mut order);
        for broker in &order[..2] {
            scene.stand.kill(broker).await?;
        }
        scene.refused_more(6).await?;
        scene.sleep(1_000, 10_000).await;
        scene.stand.start_servers(&order[..2]).await?;
        scene.note(format!("{} killed at once", order[..2].join(", ")));
        Ok(())
    }
    .boxed()
}

fn cut<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        scene.stand.conditions_of_kafka(&Conditions::cut());
        scene.refused_more(6).await?;
        scene.sleep(4_000, 30_000).await;
        let seconds = scene.profile.pick(4, 30);
        scene.note(format!("cut off for more than {seconds} s"));
        Ok(())
    }
    .boxed()
}

fn slow<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let (delay, jitter) = {
            let mut dice = scene.dice();
            (dice.between(40, 120), dice.between(50, 250))
        };
        let slow = Conditions {
            bytes_per_second: Some(512 * 1024),
            resets_per_mille: 3,
            ..Conditions::slow(delay, jitter)
        };
        scene.stand.conditions_of_kafka(&slow);
        scene.acknowledged_more(4).await?;
        scene.sleep(5_000, 40_000).await;
        scene.note(format!(
            "{delay} to {} ms a piece, 512 KiB/s, 3 of 1000 pieces end their connection",
            delay + jitter
        ));
        Ok(())
    }
    .boxed()
}

/// Requests arrive and are carried out, and nobody hears of it; then all of
/// these connections end. What was appended is appended again.
fn half_open<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        scene.stand.conditions_of_kafka(&Conditions::half_open());
        scene.refused_more(4).await?;
        scene.sleep(4_000, 30_000).await;
        for proxy in &scene.stand.kafka {
            proxy.reset();
        }
        scene.stand.conditions_of_kafka(&Conditions::default());
        tokio::time::sleep(Duration::from_millis(100)).await;
        scene.note("requests through, answers held, then reset");
        Ok(())
    }
    .boxed()
}
