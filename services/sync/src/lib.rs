//! Writes to systems of record and attests what came of it.
//!
//! Reads `mesh.effects`, calls the connector, and records on `mesh.outcomes`
//! each attempt before it is made and each outcome with the remote id and
//! version. An unknown outcome is settled by reading the remote record.

mod connector;
mod connectors;
mod effect;
mod error;
mod executor;
mod ledger;

use std::sync::Arc;

use platform_config::Settings;
use platform_http::{Component, Readiness};
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, migrate_executor, run_executor};
use platform_vault::Vault;
use projections_registry_view::RegistryView;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use connectors::Connectors;
pub use error::Error;
use executor::SyncExecutor;

/// Runs the role until `shutdown`; effects under way are finished or left to
/// be taken up again.
///
/// # Errors
/// When a setting is wrong. What passes is waited for.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("sync");
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir)?;
    let outbound = platform_http::Outbound::new(settings.outbound.allow.clone());
    let schema_registry = SchemaRegistry::new(&settings.schema_registry)?;
    let pool = Pool::connect(&settings.postgres)?;
    let producer = Producer::new(&settings.kafka)?;
    let stop_view = CancellationToken::new();
    let (view, follower) =
        RegistryView::follow(&settings, schema_registry.clone(), stop_view.clone());

    let started = async {
        component.not_ready("reading the registry");
        view.caught_up().await;
        component.not_ready("waiting for the schemas");
        let catalogue = schemas::catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        Encoder::wait_for(&schema_registry, catalogue).await
    };
    let result = match shutdown.run_until_cancelled(started).await {
        None => Ok(()),
        Some(encoder) => {
            let executor = SyncExecutor::new(
                Connectors::new(view, vault, outbound),
                encoder,
                &schema_registry,
                &settings.sync,
            );
            let deps = Deps {
                pool,
                producer,
                readiness: sink(component),
                settings,
            };
            run_executor(executor, deps, shutdown).await
        }
    };
    stop_view.cancel();
    // Fails only when the follower panicked, which it has reported itself.
    let _ = follower.await;
    Ok(result?)
}

/// Brings the Postgres schema of the executor up to date.
///
/// # Errors
/// When a setting is wrong, or Postgres cannot be reached or refuses.
pub async fn migrate(settings: &Settings) -> Result<(), Error> {
    let pool = Pool::connect(&settings.postgres)?;
    migrate_executor::<SyncExecutor>(&pool).await?;
    Ok(())
}

fn sink(component: Component) -> ReadinessSink {
    ReadinessSink::new(move |state| match state {
        Ok(()) => component.ready(),
        Err(reason) => component.not_ready(reason),
    })
}

/// Lowercase hexadecimal SHA-256 of `text`.
fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
