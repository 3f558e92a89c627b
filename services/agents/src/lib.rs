//! Runs agent tools over MCP and records what they were shown and answered.

mod agent;
mod call;
mod error;
mod executor;
mod failure;
mod history;

use std::sync::Arc;

use platform_config::Settings;
use platform_http::{Component, Readiness};
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_mcp::McpClient;
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, migrate_executor, run_executor};
use projections_registry_view::RegistryView;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use executor::AgentExecutor;

use crate::agent::Agents;
use crate::call::Caller;
use crate::history::Federation;

/// Runs executions until `shutdown`.
///
/// # Errors
/// When settings are bad; whatever passes is waited for.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("agents");
    let registry = SchemaRegistry::new(&settings.schema_registry).map_err(Error::Log)?;
    let pool = Pool::connect(&settings.postgres).map_err(Error::Postgres)?;
    let producer = Producer::new(&settings.kafka).map_err(Error::Log)?;
    let credential = settings.identity.root_key.clone();
    let federation =
        Federation::new(&settings.agents, &settings.tls, credential).map_err(Error::Http)?;
    let outbound = platform_http::Outbound::new(settings.outbound.allow.clone());
    let caller = Caller::new(McpClient::new(outbound).map_err(Error::Mcp)?);
    let stop_view = CancellationToken::new();
    let (view, follower) = RegistryView::follow(&settings, registry.clone(), stop_view.clone());

    let started = async {
        component.not_ready("reading the registry");
        view.caught_up().await;
        component.not_ready("waiting for the schemas");
        let catalogue = schemas::catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        Encoder::wait_for(&registry, catalogue).await
    };
    let result = match shutdown.run_until_cancelled(started).await {
        None => Ok(()),
        Some(encoder) => {
            let executor = AgentExecutor::new(
                Agents::new(view, settings.kafka.clone()),
                federation,
                caller,
                &registry,
                encoder,
                &settings.agents,
            );
            let deps = Deps {
                settings: settings.clone(),
                pool,
                producer,
                readiness: sink(component),
            };
            run_executor(executor, deps, shutdown)
                .await
                .map_err(Error::Runner)
        }
    };
    stop_view.cancel();
    // Fails only when the follower panicked, which it has reported itself.
    let _ = follower.await;
    result
}

/// Brings the Postgres schema of the executor up to date.
///
/// # Errors
/// When a setting is wrong, or Postgres cannot be reached or refuses.
pub async fn migrate(settings: &Settings) -> Result<(), Error> {
    let pool = Pool::connect(&settings.postgres).map_err(Error::Postgres)?;
    migrate_executor::<AgentExecutor>(&pool)
        .await
        .map_err(Error::Postgres)?;
    Ok(())
}

fn sink(component: Component) -> ReadinessSink {
    ReadinessSink::new(move |state| match state {
        Ok(()) => component.ready(),
        Err(reason) => component.not_ready(reason),
    })
}
