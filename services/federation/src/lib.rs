//! Makes contexts of deliveries: finds out whether a delivery says something new,
//! merges it where it does not, and announces it where it does. Answers questions
//! about contexts over HTTP.

mod canonical;
mod error;
mod http;
mod lookup;
mod openapi;
mod process;
mod reading;
mod registered;

use std::sync::Arc;

use platform_config::Settings;
use platform_embed::HashedNgrams;
use platform_http::{Component, Limits, Readiness};
use platform_identity::Identity;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, migrate_process, migrate_store, run_process};
use platform_redis::Redis;
use projections_context_cache::ContextCache;
use projections_context_vectors::{ContextVectors, Indexes};
use projections_registry_view::RegistryView;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use error::Error;
pub use openapi::DOCUMENT as OPENAPI;
pub use process::FederationProcess;

use crate::lookup::Lookup;
use crate::registered::Sources;

/// Runs federation until `shutdown`. Servers that are away are waited for;
/// questions are answered from the start, as far as there are answers.
///
/// # Errors
/// When a setting is wrong or the port is taken.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("federation");
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let producer = Producer::new(&settings.kafka)?;
    let pool = Pool::connect(&settings.postgres)?;
    let listener = platform_http::listen(
        "federation",
        settings.federation.listen,
        &settings.federation.tls,
        &settings,
        &readiness,
    )?;
    let redis = Redis::connect(&settings.redis).await?;
    let lookup = Arc::new(Lookup::new(ContextCache::new(redis), pool.clone()));
    // Who may ask is known from the registry, by both halves.
    let background = CancellationToken::new();
    let (view, following) = RegistryView::follow(&settings, registry.clone(), background.clone());
    let identity = Identity::new(&settings.identity, view.clone())?;

    // When one half ends, for whatever reason, so does the other.
    let stop = shutdown.child_token();
    let serving = tokio::spawn(platform_http::serve(
        "federation",
        listener,
        http::router(lookup, &identity),
        Limits::of(&settings.http),
        stop.clone(),
    ));
    let decided = decide(&settings, view, registry, producer, pool, &component, &stop).await;
    component.not_ready("stopped");
    stop.cancel();
    let served = serving.await;
    background.cancel();
    if let Err(error) = following.await {
        warn!(%error, "the registry view did not end well");
    }
    info!("federation stopped");
    decided?;
    match served {
        Ok(served) => Ok(served?),
        Err(error) => {
            warn!(%error, "the http server did not end well");
            Ok(())
        }
    }
}

async fn decide(
    settings: &Arc<Settings>,
    view: RegistryView,
    registry: SchemaRegistry,
    producer: Producer,
    pool: Pool,
    component: &Component,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let background = CancellationToken::new();
    let indexes = Indexes::new(
        settings,
        registry.clone(),
        Arc::new(HashedNgrams::default()),
    );
    let tending = tokio::spawn({
        let (indexes, background) = (indexes.clone(), background.clone());
        async move { indexes.run(background).await }
    });

    let ready = async {
        component.not_ready("reading the registry");
        view.caught_up().await;
        component.not_ready("waiting for the schemas");
        let catalogue = schemas::catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        Encoder::wait_for(&registry, catalogue).await
    };
    let result = match stop.run_until_cancelled(ready).await {
        None => Ok(()),
        Some(encoder) => {
            let process = FederationProcess::new(
                Sources::new(view, settings.kafka.clone()),
                indexes,
                &registry,
                encoder,
                settings.federation.merge_threshold,
            );
            let deps = Deps {
                settings: settings.clone(),
                pool,
                producer,
                readiness: sink(component.clone()),
            };
            run_process(process, deps, stop.clone()).await
        }
    };
    background.cancel();
    if let Err(error) = tending.await {
        warn!(%error, "tending the indexes did not end well");
    }
    Ok(result?)
}

/// Brings the Postgres schemas of the process and of the vector index up to date.
///
/// # Errors
/// When a setting is wrong, or Postgres cannot be reached or refuses.
pub async fn migrate(settings: &Settings) -> Result<(), Error> {
    let pool = Pool::connect(&settings.postgres)?;
    migrate_process::<FederationProcess>(&pool).await?;
    migrate_store::<ContextVectors>(&pool).await?;
    Ok(())
}

fn sink(component: Component) -> ReadinessSink {
    ReadinessSink::new(move |state| match state {
        Ok(()) => component.ready(),
        Err(reason) => component.not_ready(reason),
    })
}
