use anyhow::ensure;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_redis::{Redis, Script};

use crate::{Conditions, Fault, Scene};

pub(super) const FLUSHED: Fault = Fault::new("F13", "Redis flushed", flushed);
pub(super) const KILLED: Fault = Fault::new("F13", "Redis killed", killed);
pub(super) const SLOW: Fault = Fault::new("F13", "Redis slow", slow).only_long();

const FLUSH: Script = Script::new("return redis.call('FLUSHALL')");

fn flushed<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let redis = Redis::connect(&scene.stand.direct().redis).await?;
        let times = scene.profile.pick(3, 6);
        for _ in 0..times {
            let said: String = redis.eval(&FLUSH, &[], Vec::new()).await?;
            ensure!(said == "OK", "FLUSHALL: {said}");
            scene.acknowledged_more(2).await?;
        }
        scene.note(format!("FLUSHALL {times} times"));
        Ok(())
    }
    .boxed()
}

fn killed<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        for _ in 0..scene.profile.pick(1, 2) {
            scene.stand.kill("redis").await?;
            // Postgres tells what is a repeat.
            scene.acknowledged_more(4).await?;
            scene.stand.start_server("redis").await?;
            scene.acknowledged_more(1).await?;
        }
        scene.note("deliveries were taken in while it was away");
        Ok(())
    }
    .boxed()
}

fn slow<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let delay = scene.dice().between(80, 400);
        scene.stand.redis.set(Conditions {
            resets_per_mille: 5,
            ..Conditions::slow(delay, delay)
        });
        scene.acknowledged_more(6).await?;
        scene.sleep(2_000, 20_000).await;
        scene.note(format!(
            "{delay} to {} ms a piece, 5 of 1000 pieces end their connection",
            2 * delay
        ));
        Ok(())
    }
    .boxed()
}
