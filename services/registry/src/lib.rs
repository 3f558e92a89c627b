//! The registry: sources, agents, policies, subscriptions, workflow definitions
//! and connectors, each a stream of events on `mesh.registry`.
//!
//! It is the only writer of that topic, one process at a time. A change is
//! confirmed once its event has been acknowledged by the log, read back, and
//! found to be the first at its version.

mod error;
mod form;
mod http;
mod leadership;
mod neighbours;
mod seal;
mod writer;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use platform_config::Settings;
use platform_http::{Limits, Readiness};
use platform_identity::Identity;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_vault::Vault;
use projections_registry_view::RegistryView;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use error::Error;
use http::Service;
use leadership::Candidate;
use writer::Writer;

const FLUSH: Duration = Duration::from_secs(5);

/// Runs the registry until `shutdown`. Servers that are away are waited for,
/// with readiness withdrawn.
///
/// # Errors
/// When the settings do not fit, there is no vault key, or the port is taken.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("registry");
    let vault =
        Vault::from_settings(&settings.secrets, &settings.data_dir).map_err(Error::Vault)?;
    let pool = Pool::connect(&settings.postgres).map_err(Error::Postgres)?;
    let producer = Producer::new(&settings.kafka).map_err(Error::Log)?;
    let schema_registry = SchemaRegistry::new(&settings.schema_registry).map_err(Error::Log)?;
    let outbound = platform_http::Outbound::new(settings.outbound.allow.clone());
    let listener = platform_http::listen(
        "registry",
        settings.registry.listen,
        &settings.registry.tls,
        &settings,
        &readiness,
    )?;

    // Writing and following go on until the last request has been answered.
    let stop = CancellationToken::new();
    let (view, following) = RegistryView::follow(&settings, schema_registry.clone(), stop.clone());
    let (leading_sender, leading) = watch::channel(false);
    let candidate = Candidate {
        pool,
        view: view.clone(),
        scope: settings.kafka.topic_prefix.clone(),
        component,
        leading: leading_sender,
    };
    let service = Service {
        view: view.clone(),
        writer: Arc::new(OnceLock::new()),
        outbound,
    };
    let background = tokio::spawn({
        let stop = stop.clone();
        let writer_slot = service.writer.clone();
        let producer = producer.clone();
        async move {
            let starting = async {
                let catalogue = schemas::catalogue()
                    .iter()
                    .filter(|entry| entry.topic == "mesh.registry")
                    .map(|entry| (entry.topic, entry.name, entry.text));
                let encoder = Encoder::wait_for(&schema_registry, catalogue).await;
                let writer = Writer {
                    view,
                    vault,
                    encoder,
                    producer,
                    leading,
                    instance: instance(),
                    turn: Mutex::new(()),
                };
                // Set once, here.
                let _ = writer_slot.set(Arc::new(writer));
                candidate.run().await;
            };
            stop.run_until_cancelled(starting).await;
        }
    });

    let identity = Identity::new(&settings.identity, service.view.clone())?;
    let router =
        platform_identity::protect(http::router(service), &identity).merge(readiness.router());
    let served = platform_http::serve(
        "registry",
        listener,
        router,
        Limits::of(&settings.http),
        shutdown,
    )
    .await;
    stop.cancel();
    for (task, name) in [(following, "follower"), (background, "leadership")] {
        if let Err(error) = task.await {
            warn!(error = %error, task = name, "a registry task did not end well");
        }
    }
    if let Err(error) = producer.flush(FLUSH).await {
        warn!(error = %error, "not every registry event was acknowledged");
    }
    Ok(served?)
}

/// Tells this process from any other that ever wrote.
fn instance() -> String {
    format!(
        "{}-{}",
        std::process::id(),
        platform_telemetry::now().as_micros()
    )
}
