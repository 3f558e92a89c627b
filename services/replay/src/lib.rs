//! Replay: read models rebuilt from the log, and their digests.
//!
//! A rebuild keeps live runners out of the one read model it builds, and lets
//! them go on behind it. Digests taken before and after agree as long as nothing
//! was appended in between.

mod error;
mod read_model;
mod verify;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use platform_config::Settings;
use platform_embed::HashedNgrams;
use platform_log::{Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink};
use platform_redis::Redis;
use projections_agents::AgentsProjection;
use projections_audit::AuditProjection;
use projections_context_cache::ContextCacheProjection;
use projections_context_vectors::ContextVectors;
use projections_contexts::ContextsProjection;
use projections_decisions::DecisionsProjection;
use projections_deliveries::DeliveriesProjection;
use projections_effects::EffectsProjection;
use projections_executions::ExecutionsProjection;
use projections_workflows::WorkflowsProjection;
use serde::Serialize;

use read_model::{InPostgres, InStore};

pub use error::Error;
pub use read_model::ReadModel;
pub use verify::{Failure, Unproven, Verified, Which, verify_deliveries};

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    pub read_model: ReadModel,
    pub records: u64,
    #[serde(rename = "took_ms", serialize_with = "millis")]
    pub took: Duration,
    /// Of what is there now.
    pub digest: String,
}

fn millis<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(took.as_millis())
}

/// What a read model holds, as one figure that does not depend on order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digested {
    pub read_model: ReadModel,
    pub digest: String,
}

/// Access to the log and to what the read models are kept in.
#[derive(Debug)]
pub struct Replay {
    deps: Deps,
    registry: SchemaRegistry,
    redis: Redis,
}

impl Replay {
    /// # Errors
    /// When a setting is wrong.
    pub async fn new(settings: Arc<Settings>) -> Result<Self, Error> {
        Ok(Self {
            registry: SchemaRegistry::new(&settings.schema_registry)?,
            redis: Redis::connect(&settings.redis).await?,
            deps: Deps {
                pool: Pool::connect(&settings.postgres)?,
                producer: Producer::new(&settings.kafka)?,
                readiness: ReadinessSink::none(),
                settings,
            },
        })
    }

    /// Drops one read model and builds it anew from what is on the log now.
    ///
    /// # Errors
    /// When the log or the store fails. What was built until then is not whole;
    /// live runners, or another rebuild, complete it.
    pub async fn rebuild(&self, which: ReadModel) -> Result<Rebuilt, Error> {
        let begun = Instant::now();
        let records = match which {
            ReadModel::Deliveries => self.deliveries().rebuild(&self.deps).await?,
            ReadModel::Decisions => self.decisions().rebuild(&self.deps).await?,
            ReadModel::Contexts => self.contexts().rebuild(&self.deps).await?,
            ReadModel::Executions => self.executions().rebuild(&self.deps).await?,
            ReadModel::Workflows => self.workflows().rebuild(&self.deps).await?,
            ReadModel::Effects => self.effects().rebuild(&self.deps).await?,
            ReadModel::Agents => self.agents().rebuild(&self.deps).await?,
            ReadModel::Audit => self.audit().rebuild(&self.deps).await?,
            ReadModel::ContextCache => self.context_cache().rebuild(&self.deps).await?,
            ReadModel::ContextVectors => self.context_vectors().rebuild(&self.deps).await?,
        };
        let took = begun.elapsed();
        Ok(Rebuilt {
            read_model: which,
            records,
            took,
            digest: self.digest(which).await?.digest,
        })
    }

    /// Rebuilds all of them, one after another. `each` is told as soon as one is done.
    ///
    /// # Errors
    /// At the first that fails.
    pub async fn rebuild_all(&self, mut each: impl FnMut(&Rebuilt)) -> Result<Vec<Rebuilt>, Error> {
        let mut all = Vec::with_capacity(ReadModel::ALL.len());
        for which in ReadModel::ALL {
            let rebuilt = self.rebuild(which).await?;
            each(&rebuilt);
            all.push(rebuilt);
        }
        Ok(all)
    }

    /// The digest of one read model as it stands.
    ///
    /// # Errors
    /// When the store does not answer, or the read model is not there.
    pub async fn digest(&self, which: ReadModel) -> Result<Digested, Error> {
        let digest = match which {
            ReadModel::Deliveries => self.deliveries().digest(&self.deps).await?,
            ReadModel::Decisions => self.decisions().digest(&self.deps).await?,
            ReadModel::Contexts => self.contexts().digest(&self.deps).await?,
            ReadModel::Executions => self.executions().digest(&self.deps).await?,
            ReadModel::Workflows => self.workflows().digest(&self.deps).await?,
            ReadModel::Effects => self.effects().digest(&self.deps).await?,
            ReadModel::Agents => self.agents().digest(&self.deps).await?,
            ReadModel::Audit => self.audit().digest(&self.deps).await?,
            ReadModel::ContextCache => self.context_cache().digest().await?,
            ReadModel::ContextVectors => self.context_vectors().digest().await?,
        };
        Ok(Digested {
            read_model: which,
            digest,
        })
    }

    /// The digests of all of them.
    ///
    /// # Errors
    /// At the first that fails.
    pub async fn digest_all(&self) -> Result<Vec<Digested>, Error> {
        let mut all = Vec::with_capacity(ReadModel::ALL.len());
        for which in ReadModel::ALL {
            all.push(self.digest(which).await?);
        }
        Ok(all)
    }

    fn deliveries(&self) -> InPostgres<DeliveriesProjection> {
        InPostgres(DeliveriesProjection::new(self.registry.clone()))
    }

    fn decisions(&self) -> InPostgres<DecisionsProjection> {
        InPostgres(DecisionsProjection::new(self.registry.clone()))
    }

    fn contexts(&self) -> InPostgres<ContextsProjection> {
        InPostgres(ContextsProjection::new(self.registry.clone()))
    }

    fn executions(&self) -> InPostgres<ExecutionsProjection> {
        InPostgres(ExecutionsProjection::new(self.registry.clone()))
    }

    fn workflows(&self) -> InPostgres<WorkflowsProjection> {
        InPostgres(WorkflowsProjection::new(self.registry.clone()))
    }

    fn effects(&self) -> InPostgres<EffectsProjection> {
        InPostgres(EffectsProjection::new(self.registry.clone()))
    }

    fn agents(&self) -> InPostgres<AgentsProjection> {
        InPostgres(AgentsProjection::new(self.registry.clone()))
    }

    fn audit(&self) -> InPostgres<AuditProjection> {
        InPostgres(AuditProjection::new(self.registry.clone()))
    }

    fn context_cache(&self) -> InStore<ContextCacheProjection> {
        InStore(ContextCacheProjection::new(
            self.redis.clone(),
            self.registry.clone(),
        ))
    }

    fn context_vectors(&self) -> InStore<ContextVectors> {
        InStore(ContextVectors::new(
            &self.deps.settings,
            self.registry.clone(),
            Arc::new(HashedNgrams::default()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_is_told_in_figures() {
        let rebuilt = Rebuilt {
            read_model: ReadModel::ContextCache,
            records: 3,
            took: Duration::from_millis(1_500),
            digest: "00".to_owned(),
        };
        let expected = serde_json::json!({
            "read_model": "context-cache", "records": 3, "took_ms": 1_500, "digest": "00",
        });
        assert_eq!(serde_json::to_value(rebuilt).unwrap(), expected);
    }
}
