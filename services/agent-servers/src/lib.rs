//! The three bundled agents as MCP servers, on one listener:
//! `/chatgpt-customer-support/mcp`, `/claude-financial-analyst/mcp` and
//! `/copilot-enterprise/mcp`.
//!
//! Each asks its provider's model when a key is configured, and otherwise
//! answers by fixed rules: the same question always gets the same answer.

mod agent;
mod agents;
mod answers;
mod error;
mod input;
mod offline;
mod provider;
mod schema;

use std::sync::Arc;

use platform_config::Settings;
use platform_http::{Limits, Readiness};
use platform_mcp::ServerOptions;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use error::Error;
pub use offline::MODEL as OFFLINE_MODEL;

use crate::provider::Provider;

/// Longer than any provider is waited for.
const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(180);

/// Bytes of a call: a ticket and its history.
const MAX_BODY: usize = 4 << 20;

/// Serves the agents until `shutdown`.
///
/// # Errors
/// When the address is taken or a provider's settings are incomplete.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("agent-servers");
    let router = router(&settings, &shutdown)?;
    let listener = platform_http::listen(
        "agent-servers",
        settings.agent_servers.listen,
        &settings.agent_servers.tls,
        &settings,
        &readiness,
    )
    .map_err(Error::Http)?;
    component.ready();
    let limits = Limits {
        request: REQUEST_TIMEOUT,
        body_bytes: MAX_BODY,
        ..Limits::of(&settings.http)
    };
    platform_http::serve("agent-servers", listener, router, limits, shutdown)
        .await
        .map_err(Error::Http)
}

/// The agents as a router, without a listener.
///
/// # Errors
/// When a provider's settings are incomplete.
pub fn router(settings: &Settings, shutdown: &CancellationToken) -> Result<axum::Router, Error> {
    let servers = &settings.agent_servers;
    let http = provider::http_client()?;
    // On loopback a browser must not be led here by a name of its choosing; on
    // any other address the names are the operator's.
    let allowed_hosts = if servers.listen.ip().is_loopback() {
        ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into()
    } else {
        Vec::new()
    };
    let options = ServerOptions {
        allowed_hosts,
        max_body_bytes: MAX_BODY,
        shutdown: shutdown.clone(),
    };
    let agents = [
        agents::support(Provider::openai(&http, &servers.openai)),
        agents::finance(Provider::anthropic(&http, &servers.anthropic)),
        agents::enterprise(Provider::azure(&http, &servers.azure_openai)?),
    ];
    let mut router = axum::Router::new();
    for agent in agents {
        info!(agent.id = agent.id, agent.model = %agent.model(), "agent server mounted");
        let path = format!("/{}/mcp", agent.id);
        router = router.merge(platform_mcp::router(
            &path,
            Arc::new(agent),
            options.clone(),
        ));
    }
    Ok(router)
}
