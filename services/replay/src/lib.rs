//! Replay: read models rebuilt from the log, and their digests.
//!
//! A rebuild fills a shadow beside the live read model and swaps it in, or keeps
//! it under a name. Digests name the checkpoint they are of, so that two of them
//! can be compared partition by partition.

mod digest;
mod error;
mod model;
mod read_model;
mod verify;

use std::{
    path::Path,
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

use model::{InPostgres, InStore, Model};

pub use digest::{Comparison, Difference, Digest, PartDigest, Verdict, compare};
pub use error::Error;
pub use platform_projector::{
    Checked, Offsets, Progress, ProgressSink, RebuildOptions, Shadow, Stage, Until,
};
pub use read_model::ReadModel;
pub use verify::{Failure, Unproven, Verified, Which, verify_deliveries};

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    pub read_model: ReadModel,
    /// Records read from the log.
    pub records: u64,
    /// Records that an interrupted rebuild had read before.
    pub resumed_at: u64,
    #[serde(rename = "took_ms", serialize_with = "millis")]
    pub took: Duration,
    /// How long the live runner was kept out; none when nothing was swapped in.
    #[serde(rename = "kept_out_ms", serialize_with = "maybe_millis")]
    pub kept_out: Option<Duration>,
    /// What comparing with the live one before the swap showed.
    pub checked: String,
    /// Of what was built: as it is now when it is live.
    pub digest: String,
}

fn millis<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(took.as_millis())
}

fn maybe_millis<S: serde::Serializer>(
    took: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match took {
        Some(took) => millis(took, serializer),
        None => serializer.serialize_none(),
    }
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

    /// Builds one read model anew from the log.
    ///
    /// # Errors
    /// When the log or the store fails. The live read model is as it was; the
    /// next rebuild goes on from where this one stopped.
    pub async fn rebuild(
        &self,
        which: ReadModel,
        options: &RebuildOptions,
    ) -> Result<Rebuilt, Error> {
        if let Some(name) = &options.keep_as {
            platform_projector::shadow_name(name).map_err(Error::ShadowName)?;
        }
        let begun = Instant::now();
        let rebuilt = self.model(which).rebuild(&self.deps, options).await?;
        let took = begun.elapsed();
        let digest = match &options.keep_as {
            Some(name) => self.digest_of_shadow(which, name).await?,
            None => self.digest(which).await?,
        };
        Ok(Rebuilt {
            read_model: which,
            records: rebuilt.records,
            resumed_at: rebuilt.resumed_at,
            took,
            kept_out: rebuilt.kept_out,
            checked: said(&rebuilt.checked),
            digest: digest.digest,
        })
    }

    /// Rebuilds all of them to the end of the log, one after another. `each` is
    /// told as soon as one is done.
    ///
    /// # Errors
    /// At the first that fails.
    pub async fn rebuild_all(&self, mut each: impl FnMut(&Rebuilt)) -> Result<Vec<Rebuilt>, Error> {
        let options = RebuildOptions::default();
        let mut all = Vec::with_capacity(ReadModel::ALL.len());
        for which in ReadModel::ALL {
            let rebuilt = self.rebuild(which, &options).await?;
            each(&rebuilt);
            all.push(rebuilt);
        }
        Ok(all)
    }

    /// The digest of one read model and the checkpoint it is of.
    ///
    /// # Errors
    /// When the store does not answer, or the read model is not there.
    pub async fn digest(&self, which: ReadModel) -> Result<Digest, Error> {
        let digested = self.model(which).digest(&self.deps, None).await?;
        Ok(Digest::of(which, &digested))
    }

    /// The digest of what is kept beside one read model under a name.
    ///
    /// # Errors
    /// When there is no such thing, or the store does not answer.
    pub async fn digest_of_shadow(&self, which: ReadModel, name: &str) -> Result<Digest, Error> {
        self.known_shadow(which, name).await?;
        let digested = self.model(which).digest(&self.deps, Some(name)).await?;
        Ok(Digest::of(which, &digested))
    }

    /// The digests of all of them.
    ///
    /// # Errors
    /// At the first that fails.
    pub async fn digest_all(&self) -> Result<Vec<Digest>, Error> {
        let mut all = Vec::with_capacity(ReadModel::ALL.len());
        for which in ReadModel::ALL {
            all.push(self.digest(which).await?);
        }
        Ok(all)
    }

    /// The digest of the same read model in another deployment's Postgres; none
    /// for what is not kept in Postgres.
    ///
    /// # Errors
    /// When that Postgres does not answer, or the read model is not there.
    pub async fn digest_in(&self, which: ReadModel, pool: &Pool) -> Result<Option<Digest>, Error> {
        let digested = self.model(which).digest_in(pool).await?;
        Ok(digested.map(|digested| Digest::of(which, &digested)))
    }

    /// What is kept beside a read model, and what interrupted rebuilds left.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn shadows(&self, which: ReadModel) -> Result<Vec<Shadow>, Error> {
        self.model(which).shadows(&self.deps).await
    }

    /// Drops what is kept beside a read model under a name.
    ///
    /// # Errors
    /// When there is no such thing, a rebuild is at it, or the store does not answer.
    pub async fn drop_shadow(&self, which: ReadModel, name: &str) -> Result<(), Error> {
        self.known_shadow(which, name).await?;
        self.model(which).drop_shadow(&self.deps, name).await
    }

    /// A pool for another deployment's Postgres.
    ///
    /// # Errors
    /// When it is no Postgres URL.
    pub fn other_postgres(&self, url: &str) -> Result<Pool, Error> {
        let mut settings = self.deps.settings.postgres.clone();
        url.clone_into(&mut settings.url);
        Ok(Pool::connect(&settings)?)
    }

    async fn known_shadow(&self, which: ReadModel, name: &str) -> Result<(), Error> {
        let shadows = self.shadows(which).await?;
        if shadows.iter().any(|shadow| shadow.name == name) {
            Ok(())
        } else {
            Err(Error::UnknownShadow {
                name: which.name(),
                shadow: name.to_owned(),
            })
        }
    }

    fn model(&self, which: ReadModel) -> Box<dyn Model> {
        let registry = self.registry.clone();
        match which {
            ReadModel::Deliveries => {
                Box::new(InPostgres(Arc::new(DeliveriesProjection::new(registry))))
            }
            ReadModel::Decisions => {
                Box::new(InPostgres(Arc::new(DecisionsProjection::new(registry))))
            }
            ReadModel::Contexts => {
                Box::new(InPostgres(Arc::new(ContextsProjection::new(registry))))
            }
            ReadModel::Executions => {
                Box::new(InPostgres(Arc::new(ExecutionsProjection::new(registry))))
            }
            ReadModel::Workflows => {
                Box::new(InPostgres(Arc::new(WorkflowsProjection::new(registry))))
            }
            ReadModel::Effects => Box::new(InPostgres(Arc::new(EffectsProjection::new(registry)))),
            ReadModel::Agents => Box::new(InPostgres(Arc::new(AgentsProjection::new(registry)))),
            ReadModel::Audit => Box::new(InPostgres(Arc::new(AuditProjection::new(registry)))),
            ReadModel::ContextCache => Box::new(InStore(ContextCacheProjection::new(
                self.redis.clone(),
                registry,
            ))),
            ReadModel::ContextVectors => Box::new(InStore(ContextVectors::new(
                &self.deps.settings,
                registry,
                Arc::new(HashedNgrams::default()),
            ))),
        }
    }
}

/// Reads what `replay digest --json` wrote, one object a line.
///
/// # Errors
/// When a line is something else.
pub fn read_digests(from: &Path, text: &str) -> Result<Vec<Digest>, Error> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line).map_err(|source| Error::Unreadable {
                from: from.display().to_string(),
                source,
            })
        })
        .collect()
}

fn said(checked: &Checked) -> String {
    match checked {
        Checked::Same => "same".to_owned(),
        Checked::Skipped => "skipped".to_owned(),
        Checked::NotComparable(why) => format!("not comparable: {why}"),
        Checked::Differs {
            partitions,
            unplaced,
        } => {
            let mut names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            if *unplaced {
                names.push("-".to_owned());
            }
            format!("the live one differed in partitions {}", names.join(", "))
        }
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
            resumed_at: 1,
            took: Duration::from_millis(1_500),
            kept_out: None,
            checked: "same".to_owned(),
            digest: "00".to_owned(),
        };
        let expected = serde_json::json!({
            "read_model": "context-cache", "records": 3, "resumed_at": 1, "took_ms": 1_500,
            "kept_out_ms": null, "checked": "same", "digest": "00",
        });
        assert_eq!(serde_json::to_value(rebuilt).unwrap(), expected);
    }
}
