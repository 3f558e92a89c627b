//! What strangers meet: `POST /hooks/{source_id}` for senders, and
//! `POST /v1/agents/{agent}/invoke` for users.
//!
//! A delivery is answered with 202 only when the broker has acknowledged it;
//! whatever goes wrong before that leaves nothing behind, so that sending it
//! again is always right.

mod answers;
mod cache;
mod condition;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod ingest;
mod invoke;
mod limits;
mod log_watch;
mod metrics;
mod openapi;
mod problems;
mod read_models;
mod refusals;
mod router;
mod sources;
mod status;

use std::sync::Arc;
use std::time::Duration;

use platform_config::Settings;
use platform_http::{Limits, Readiness};
use platform_identity::Identity;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_vault::Vault;
use projections_registry_view::RegistryView;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use error::Error;
pub use gateway::{Background, Gateway, Parts, Shortcuts};
pub use invoke::Results;
pub use openapi::DOCUMENT as OPENAPI;
pub use router::router;

/// How long what was accepted may take to leave the process at the end.
const FLUSH: Duration = Duration::from_secs(10);

/// Runs the gateway until `shutdown`. Servers that are away at the start are
/// waited for; the port is bound at once, and answers begin when the registry
/// has been read.
///
/// # Errors
/// When a setting is wrong, the vault has no key, or the port is taken.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    run_with(settings, Shortcuts::default(), readiness, shutdown).await
}

/// As [`run`], leaving out what `shortcuts` says: for benchmarks only.
///
/// # Errors
/// As `run`.
pub async fn run_with(
    settings: Arc<Settings>,
    shortcuts: Shortcuts,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("gateway");
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir)?;
    let producer = Producer::new(&settings.kafka)?;
    let pool = Pool::connect(&settings.postgres)?;
    let schema_registry = SchemaRegistry::new(&settings.schema_registry)?;
    let listener = platform_http::listen(
        "gateway",
        settings.gateway.listen,
        &settings.gateway.tls,
        &settings,
        &readiness,
    )?;
    let redirecting = redirect(&settings, &shutdown).await?;
    let redis = Redis::connect(&settings.redis).await?;

    component.not_ready("waiting for the schema registry");
    let catalogue = schemas::catalogue()
        .iter()
        .map(|entry| (entry.topic, entry.name, entry.text));
    let resolving = Encoder::wait_for(&schema_registry, catalogue);
    let Some(encoder) = shutdown.run_until_cancelled(resolving).await else {
        return Ok(());
    };
    component.not_ready("reading the registry");
    let (view, following) =
        RegistryView::follow(&settings, schema_registry.clone(), shutdown.clone());
    if shutdown
        .run_until_cancelled(view.caught_up())
        .await
        .is_none()
    {
        return Ok(());
    }

    let recalled_by = schema_registry.clone();
    let results = Results::default();
    let tailing = tokio::spawn(results.clone().follow(
        settings.kafka.clone(),
        schema_registry,
        readiness.component("gateway results"),
        shutdown.clone(),
    ));
    let identity = Identity::new(&settings.identity, view.clone())?;

    let parts = Parts {
        view,
        identity,
        results,
        vault,
        redis,
        pool,
        producer: producer.clone(),
        encoder,
    };
    // Nobody is answered before it is known what was answered last.
    let (gateway, background) = Gateway::new(&settings, parts);
    let gateway = Arc::new(gateway.with_shortcuts(shortcuts));
    // What works behind the answers ends after the last of them.
    let answered = CancellationToken::new();
    let background = tokio::spawn(background.run(answered.clone()));
    component.not_ready("recalling what was accepted last");
    let recalling = gateway.idempotency.recall(&settings.kafka, &recalled_by);
    if shutdown.run_until_cancelled(recalling).await.is_none() {
        answered.cancel();
        return Ok(());
    }
    let watching = tokio::spawn(log_watch::watch(
        gateway.clone(),
        settings.kafka.clone(),
        component.clone(),
        shutdown.clone(),
    ));

    component.ready();
    let served = platform_http::serve(
        "gateway",
        listener,
        router(gateway).merge(readiness.router()),
        limits(&settings),
        shutdown.clone(),
    )
    .await;
    component.not_ready("stopped");
    answered.cancel();
    if let Some(redirecting) = redirecting
        && let Err(error) = redirecting.await
    {
        warn!(task.name = "redirect", error = %error, "a task did not end well");
    }
    for (task, ended) in [
        ("background", background.await),
        ("log watch", watching.await),
        ("registry view", following.await),
        ("results", tailing.await),
    ] {
        if let Err(error) = ended {
            warn!(task.name = task, error = %error, "a task did not end well");
        }
    }
    if let Err(error) = producer.flush(FLUSH).await {
        warn!(error = %error, "not everything left the process");
    }
    info!("gateway stopped");
    Ok(served?)
}

/// Answers `http://` with the address where `https://` is, where that is asked for.
async fn redirect(
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, Error> {
    let gateway = &settings.gateway;
    let (Some(address), Some(public)) = (gateway.redirect_listen, &gateway.public_url) else {
        return Ok(None);
    };
    let listener = platform_http::bind(address).await?;
    let router = platform_http::redirect_to(public);
    let limits = limits(settings);
    let shutdown = shutdown.clone();
    Ok(Some(tokio::spawn(async move {
        let served =
            platform_http::serve("gateway-redirect", listener, router, limits, shutdown).await;
        if let Err(error) = served {
            warn!(error = %error, "redirects are not served");
        }
    })))
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        body_bytes: settings.gateway.max_body_bytes,
        trusted_proxies: settings.gateway.trusted_proxies.clone(),
        // Reading and appending have deadlines of their own, which answer
        // better; this one is for what nobody thought of.
        request: Duration::from_millis(settings.gateway.request_timeout_ms) * 3,
        ..Limits::of(&settings.http)
    }
}
