use std::future::Future;
use std::time::Duration;

use futures::future::try_join_all;
use platform_postgres::Migration;
use tokio_util::sync::CancellationToken;

use super::{SessionOptions, checkpoints, classes};
use crate::dead_letter::with_redrives;
use crate::world::Real;
use crate::{Deps, Error};

const TICK: Duration = Duration::from_millis(500);

impl SessionOptions {
    /// Of a member of `group` that only reads.
    pub(crate) fn reading(name: &'static str, group: String, inputs: Vec<&'static str>) -> Self {
        Self {
            name,
            group,
            inputs,
            own: None,
            tick: TICK,
        }
    }
}

/// Keeps a read model made of `topics` up to date until `shutdown`: `run` is called
/// for each group that it takes, with what the group reads, and checkpoints of its own.
pub(crate) async fn run_groups<F: Future<Output = Result<(), Error>>>(
    name: &'static str,
    topics: &[&'static str],
    migrations: Vec<Migration>,
    deps: &Deps,
    shutdown: &CancellationToken,
    run: impl Fn(Real, String, Vec<&'static str>) -> F,
) -> Result<(), Error> {
    let inputs = with_redrives(topics.to_vec());
    let Some(classes) = classes(name, &inputs, deps, shutdown).await? else {
        return Ok(());
    };
    let world = Real::new(deps, checkpoints(name), migrations)?;
    let running = classes.into_iter().map(|class| {
        let world = world
            .clone()
            .owned_by(checkpoints(name))
            .reporting_to(class.readiness);
        run(world, class.group, class.topics)
    });
    try_join_all(running).await?;
    Ok(())
}
