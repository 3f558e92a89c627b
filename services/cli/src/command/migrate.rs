//! `agentmesh migrate`.

use std::path::Path;

use anyhow::Context as _;
use platform_config::Settings;

use crate::settings;

pub(crate) async fn run(config: Option<&Path>) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _guard = settings::quiet_telemetry(&settings)?;
    migrate(&settings).await?;
    println!("the Postgres schemas are up to date");
    Ok(())
}

/// Brings the read models' Postgres schemas up to date. What deciders and
/// executors remember is theirs alone: their runners see to it.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let migrated = services_projections::migrate(settings).await;
    migrated.context("the Postgres schemas cannot be brought up to date")
}
