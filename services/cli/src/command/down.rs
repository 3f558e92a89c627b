//! `agentmesh down`.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use platform_localstack::{Signal, Stack};

use crate::running::Running;
use crate::settings;

/// Roles drain for up to 30 s, and the servers stop after them.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn run(config: Option<&Path>) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let _guard = settings::quiet_telemetry(&settings)?;
    let running = Running::find(&settings.data_dir)?;
    if let Some(running) = &running {
        let stopped = running.identity.stop(Signal::TERM, PATIENCE).await;
        stopped.context("agentmesh dev cannot be stopped")?;
        Running::remove(&settings.data_dir);
    }
    // Left over when dev was killed, or started alone by `stack up`.
    let stack = Stack::attach(&settings::stack_dir(&settings)).await?;
    let nothing = running.is_none() && stack.is_none();
    if let Some(stack) = stack {
        stack.stop().await?;
    }
    if nothing {
        println!("nothing runs in {}", settings.data_dir.display());
    } else {
        println!("stopped; the data stays in {}", settings.data_dir.display());
    }
    Ok(())
}
