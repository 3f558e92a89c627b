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

/// Brings the Postgres schemas of all runners up to date: read models, deciders
/// and executors. A runner whose schema is missing sees to it by itself; done
/// beforehand, no role has to create anything when it starts.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let failed = "the Postgres schemas cannot be brought up to date";
    services_projections::migrate(settings)
        .await
        .context(failed)?;
    services_federation::migrate(settings)
        .await
        .context(failed)?;
    services_workflow::migrate(settings).await.context(failed)?;
    services_agents::migrate(settings).await.context(failed)?;
    services_sync::migrate(settings).await.context(failed)?;
    Ok(())
}
