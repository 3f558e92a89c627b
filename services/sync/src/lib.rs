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
use platform_http::Readiness;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, run_executor};
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
    component.not_ready("starting");
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir)?;
    let schema_registry = SchemaRegistry::new(&settings.schema_registry)?;
    let (view, _follower) =
        RegistryView::follow(&settings, schema_registry.clone(), shutdown.clone());
    let started = async {
        let encoder = Encoder::resolve(
            &schema_registry,
            schemas::catalogue()
                .iter()
                .map(|entry| (entry.topic, entry.name, entry.text)),
        )
        .await?;
        view.caught_up().await;
        Ok::<_, Error>(encoder)
    };
    let Some(encoder) = shutdown.run_until_cancelled(started).await.transpose()? else {
        return Ok(());
    };
    let executor = SyncExecutor::new(
        Connectors::new(view, vault),
        encoder,
        &schema_registry,
        settings.sync.concurrency,
    );
    let deps = Deps {
        pool: Pool::connect(&settings.postgres)?,
        producer: Producer::new(&settings.kafka)?,
        readiness: ReadinessSink::new(move |state| match state {
            Ok(()) => component.ready(),
            Err(reason) => component.not_ready(reason),
        }),
        settings,
    };
    run_executor(executor, deps, shutdown).await?;
    Ok(())
}

/// Lowercase hexadecimal SHA-256 of `text`.
fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
