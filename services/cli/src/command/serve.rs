//! `agentmesh serve`.

use std::path::Path;
use std::sync::Arc;

use platform_http::Readiness;

use crate::role::Role;
use crate::{host, settings, signals};

pub(crate) async fn run(config: Option<&Path>, roles: &[Role]) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let roles = if roles.is_empty() { &Role::ALL } else { roles };
    let name = match roles {
        [role] => role.name(),
        _ => "all".to_owned(),
    };
    let _guard = platform_telemetry::init(&settings.telemetry, &name)?;
    let shutdown = signals::shutdown_on_signal()?;
    host::run(roles, Arc::new(settings), Readiness::new(), shutdown).await
}
