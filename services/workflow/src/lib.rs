//! Runs workflow definitions as sagas: reads notifications, results and
//! outcomes, decides with `domain_workflow`, and asks agents and connectors.

mod conditions;
mod definitions;
mod error;
mod input;
mod process;
mod resolve;
mod scope;

use std::sync::Arc;

use platform_config::Settings;
use platform_http::{Component, Readiness};
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, migrate_process, run_process};
use projections_registry_view::RegistryView;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use process::WorkflowProcess;

use crate::definitions::Definitions;

/// Runs workflows until `shutdown`.
///
/// # Errors
/// When settings are bad; whatever passes is waited for.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("workflow");
    let registry = SchemaRegistry::new(&settings.schema_registry).map_err(Error::Log)?;
    let pool = Pool::connect(&settings.postgres).map_err(Error::Postgres)?;
    let producer = Producer::new(&settings.kafka).map_err(Error::Log)?;
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
            let process = WorkflowProcess::new(
                Definitions::new(view, settings.kafka.clone()),
                &registry,
                encoder,
                settings.workflow.compensation_attempts,
            );
            let deps = Deps {
                settings: settings.clone(),
                pool,
                producer,
                readiness: sink(component),
            };
            run_process(process, deps, shutdown)
                .await
                .map_err(Error::Runner)
        }
    };
    stop_view.cancel();
    // Fails only when the follower panicked, which it has reported itself.
    let _ = follower.await;
    result
}

/// Brings the Postgres schema of the process up to date.
///
/// # Errors
/// When a setting is wrong, or Postgres cannot be reached or refuses.
pub async fn migrate(settings: &Settings) -> Result<(), Error> {
    let pool = Pool::connect(&settings.postgres).map_err(Error::Postgres)?;
    migrate_process::<WorkflowProcess>(&pool)
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
