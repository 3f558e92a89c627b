//! The projections role: keeps every read model that is not part of another role.
//!
//! The vector index is kept by the federation role, which decides over it; the
//! view of the registry is kept by each role that acts on it.

mod error;
mod runners;

use std::sync::Arc;

use platform_config::Settings;
use platform_http::Readiness;
use platform_log::{Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, migrate_projection, migrate_store};
use platform_redis::Redis;
use projections_agents::AgentsProjection;
use projections_audit::AuditProjection;
use projections_context_cache::ContextCacheProjection;
use projections_contexts::ContextsProjection;
use projections_decisions::DecisionsProjection;
use projections_deliveries::DeliveriesProjection;
use projections_effects::EffectsProjection;
use projections_executions::ExecutionsProjection;
use projections_workflows::WorkflowsProjection;
use tokio_util::sync::CancellationToken;
use tracing::info;

use runners::Runners;

pub use error::Error;

/// Keeps the read models until `shutdown`. Servers that are away are waited for;
/// each read model says for itself whether it is ready.
///
/// # Errors
/// When a setting is wrong, or a read model meets what no waiting cures.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let redis = Redis::connect(&settings.redis).await?;
    let deps = Deps {
        pool: Pool::connect(&settings.postgres)?,
        producer: Producer::new(&settings.kafka)?,
        settings,
        readiness: ReadinessSink::none(),
    };
    let mut runners = Runners::new(deps, readiness, shutdown);
    runners.postgres(DeliveriesProjection::new(registry.clone()));
    runners.postgres(DecisionsProjection::new(registry.clone()));
    runners.postgres(ContextsProjection::new(registry.clone()));
    runners.postgres(ExecutionsProjection::new(registry.clone()));
    runners.postgres(WorkflowsProjection::new(registry.clone()));
    runners.postgres(EffectsProjection::new(registry.clone()));
    runners.postgres(AgentsProjection::new(registry.clone()));
    runners.postgres(AuditProjection::new(registry.clone()));
    runners.store(ContextCacheProjection::new(redis, registry));
    info!("read models started");
    runners.wait().await
}

/// Brings the Postgres schemas of the read models up to date.
///
/// # Errors
/// When a setting is wrong, or Postgres cannot be reached or refuses.
pub async fn migrate(settings: &Settings) -> Result<(), Error> {
    let pool = Pool::connect(&settings.postgres)?;
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    migrate_projection(&DeliveriesProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&DecisionsProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&ContextsProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&ExecutionsProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&WorkflowsProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&EffectsProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&AgentsProjection::new(registry.clone()), &pool).await?;
    migrate_projection(&AuditProjection::new(registry), &pool).await?;
    migrate_store::<ContextCacheProjection>(&pool).await?;
    Ok(())
}
