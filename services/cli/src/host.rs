//! Roles side by side in this process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use platform_config::Settings;
use platform_http::Readiness;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::role::Role;

/// Longer than any role takes to drain. One that takes longer is left behind:
/// what it had not finished is on the log.
const DRAIN: Duration = Duration::from_secs(30);

/// Runs `roles` and the operations server until `shutdown`, or until one of
/// them ends by itself; then all the others drain.
pub(crate) async fn run(
    roles: &[Role],
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    for role in roles.iter().copied() {
        let (settings, readiness) = (settings.clone(), readiness.clone());
        let shutdown = shutdown.clone();
        running.spawn(async move {
            let result = role.run(settings, readiness, shutdown).await;
            (role.name(), result)
        });
    }
    // Health is told until the last role has drained.
    let drained = CancellationToken::new();
    let ops = tokio::spawn({
        let (settings, readiness) = (settings.clone(), readiness.clone());
        let drained = drained.clone();
        async move { platform_http::serve_ops(&settings, readiness, drained).await }
    });
    let process = readiness.component("process");
    process.ready();
    // The first thing that happens at the end, so that a balancer looks
    // elsewhere while requests are still taken.
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            process.not_ready("draining");
        }
    });
    let result = watch(&mut running, ops, &shutdown).await;
    drained.cancel();
    result
}

async fn watch(
    running: &mut JoinSet<(String, anyhow::Result<()>)>,
    mut ops: tokio::task::JoinHandle<Result<(), platform_http::Error>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let first = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = &mut ops => {
            let ended = ended.context("the operations server broke down")?;
            ended.context("the operations server ended")
        }
        ended = running.join_next() => match ended {
            Some(ended) => {
                let (name, result) = ended.context("a role broke down")?;
                // Asked to end and ended, in the same moment.
                if result.is_ok() && shutdown.is_cancelled() {
                    Ok(())
                } else {
                    result.and_then(|()| anyhow::bail!("it ended by itself"))
                        .with_context(|| format!("role {name}"))
                }
            }
            None => Ok(()),
        }
    };
    shutdown.cancel();
    let drain = async {
        let mut worst = Ok(());
        while let Some(ended) = running.join_next().await {
            let result = match ended {
                Ok((name, result)) => result.with_context(|| format!("role {name}")),
                Err(error) => Err(error).context("a role broke down"),
            };
            if let Err(error) = result {
                tracing::error!(error = %format!("{error:#}"), "role did not drain");
                worst = Err(error);
            }
        }
        worst
    };
    match tokio::time::timeout(DRAIN, drain).await {
        Ok(drained) => first.and(drained),
        Err(_) => first.and(Err(anyhow::anyhow!(
            "roles were still draining after {} s",
            DRAIN.as_secs()
        ))),
    }
}
