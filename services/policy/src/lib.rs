//! Policy as a service: OPA's data API over the engine and the bundles that the
//! gateway uses in process. Every decision asked for here is on the log before
//! it is told.

mod decide;
mod error;
mod http;
mod record;

use std::sync::Arc;
use std::time::Duration;

use platform_config::Settings;
use platform_http::{Limits, Readiness};
use platform_identity::Identity;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_rego::Bundles;
use projections_registry_view::RegistryView;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use error::Error;
use http::Service;
use record::Recorder;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const FLUSH: Duration = Duration::from_secs(5);

/// Runs the policy service until `shutdown`. Servers that are away are waited
/// for, with readiness withdrawn.
///
/// # Errors
/// When the settings do not fit or the port is taken.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("policy");
    let producer = Producer::new(&settings.kafka).map_err(Error::Log)?;
    let schema_registry = SchemaRegistry::new(&settings.schema_registry).map_err(Error::Log)?;
    let listener = platform_http::listen(
        "policy",
        settings.policy.listen,
        &settings.policy.tls,
        &settings,
        &readiness,
    )?;

    let stop = CancellationToken::new();
    let (view, following) = RegistryView::follow(&settings, schema_registry.clone(), stop.clone());
    let recorder = Arc::new(Recorder::new(producer.clone()));
    let starting = tokio::spawn({
        let stop = stop.clone();
        let view = view.clone();
        let recorder = recorder.clone();
        let component = component.clone();
        async move {
            let work = async {
                component.not_ready("waiting for the schemas");
                let catalogue = schemas::catalogue()
                    .iter()
                    .filter(|entry| entry.topic == "mesh.decisions")
                    .map(|entry| (entry.topic, entry.name, entry.text));
                recorder.encode_with(Encoder::wait_for(&schema_registry, catalogue).await);
                component.not_ready("reading the policies");
                view.caught_up().await;
                loop {
                    if view.is_connected() {
                        component.ready();
                    } else {
                        component.not_ready("the log is away");
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            stop.run_until_cancelled(work).await;
        }
    });

    let identity = Identity::new(&settings.identity, view.clone())?;
    let service = Service {
        view,
        bundles: Arc::new(Bundles::default()),
        recorder,
        component,
    };
    let router = http::router(service, &identity).merge(readiness.router());
    let served = platform_http::serve(
        "policy",
        listener,
        router,
        Limits::of(&settings.http),
        shutdown,
    )
    .await;
    stop.cancel();
    for (task, name) in [(following, "follower"), (starting, "start")] {
        if let Err(error) = task.await {
            warn!(error = %error, task = name, "a policy task did not end well");
        }
    }
    if let Err(error) = producer.flush(FLUSH).await {
        warn!(error = %error, "not every decision was acknowledged");
    }
    Ok(served?)
}
