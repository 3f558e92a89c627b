use std::collections::BTreeSet;

use platform_postgres::Checkpoints;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::held::Waiting;
use super::lag::Lag;
use super::run::{FIRST_WAIT, LONGEST_WAIT};
use super::{Owned, Role, Session, SessionOptions};
use crate::Error;
use crate::error::chain;
use crate::world::{Clock, Log, World};

impl<W: World, R: Role> Session<W, R> {
    /// Joins the group and works until `shutdown`.
    pub(crate) async fn join_and_run(
        options: SessionOptions,
        world: W,
        role: R,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        match Self::join(options, world, role, shutdown).await? {
            Some(session) => session.run(shutdown).await,
            None => Ok(()),
        }
    }

    /// Joins the group. Retries while the broker is away.
    async fn join(
        options: SessionOptions,
        world: W,
        role: R,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, Error> {
        world.readiness().not_ready("joining the consumer group");
        // Watched from the start: one that never gets as far is seen too.
        options.show_ready(false);
        options.show_owned(0);
        let mut wait = FIRST_WAIT;
        let widths = loop {
            match widths(&options, world.log()).await {
                Ok(widths) => break widths,
                Err(error) => {
                    warn!(runner.name = options.name, error = %chain(&error), "topics are not to be had yet");
                    world.readiness().not_ready("waiting for the topics");
                }
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                () = world.clock().sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        let consumer = world.log().join(&options.group, &options.inputs)?;
        let now = world.clock().ticks();
        Ok(Some(Self {
            options,
            world,
            consumer,
            widths,
            assigned: BTreeSet::new(),
            owned: Owned::default(),
            incarnation: None,
            paused: false,
            waiting: Waiting::default(),
            joined: false,
            ready: false,
            rejoin: false,
            replaced: None,
            wait: FIRST_WAIT,
            retry_at: now,
            checked_at: now,
            lag: Lag::default(),
            role,
        }))
    }
}

async fn widths<L: Log>(
    options: &SessionOptions,
    log: &L,
) -> Result<Vec<(&'static str, i32)>, platform_log::Error> {
    let mut widths = Vec::new();
    for topic in options.inputs.iter().copied().chain(options.own) {
        widths.push((topic, log.partition_count(topic).await? as i32));
    }
    Ok(widths)
}

/// The consumer group of a runner.
pub(crate) fn group(name: &str) -> String {
    format!("agentmesh.{name}")
}

/// The checkpoints of a runner under a name for this run, never used again.
pub(crate) fn checkpoints(name: &str) -> Checkpoints {
    let owner = format!("{name}/{}/{}", std::process::id(), Uuid::new_v4());
    Checkpoints::new(&platform_postgres::schema_name(name), &owner)
}
