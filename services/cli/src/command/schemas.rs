//! `agentmesh schemas`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use platform_config::Settings;
use platform_log::{SchemaRegistry, subject};
use schemas::{SchemaEntry, published};
use tokio::task::JoinSet;

use crate::args::SchemasAction;
use crate::settings;

/// Readers of any version read what writers of any other wrote.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";

pub(crate) async fn run(config: Option<&Path>, action: SchemasAction) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _guard = settings::quiet_telemetry(&settings)?;
    match action {
        SchemasAction::Register => {
            register(&settings).await?;
            println!("{} schemas are registered", published().len());
        }
        SchemasAction::Check => {
            check(&settings).await?;
            println!("{} schemas are compatible", published().len());
        }
    }
    Ok(())
}

/// Registers every version that is not registered yet, after its subject takes
/// compatible ones only. Of one event the older versions come first, as they did.
pub(crate) async fn register(settings: &Settings) -> anyhow::Result<()> {
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let mut work = JoinSet::new();
    // One event stands alone at first: the registry sets itself up on its first request.
    for (index, versions) in by_event().enumerate() {
        let registry = registry.clone();
        work.spawn(async move {
            for entry in versions {
                register_one(&registry, entry).await?;
            }
            Ok(())
        });
        if index == 0 {
            finish(&mut work).await?;
        }
    }
    finish(&mut work).await
}

fn by_event() -> impl Iterator<Item = &'static [SchemaEntry]> {
    published().chunk_by(|one, next| (one.topic, one.name) == (next.topic, next.name))
}

async fn register_one(registry: &SchemaRegistry, entry: &SchemaEntry) -> anyhow::Result<()> {
    let subject = subject(entry.topic, entry.name);
    let work = async {
        if !is_strict(registry, &subject).await? {
            let set = registry.set_compatibility(&subject, COMPATIBILITY).await;
            // Somebody else, registering too, may have been faster.
            if set.is_err() && !is_strict(registry, &subject).await? {
                set?;
            }
        }
        registry.register(&subject, entry.text).await
    };
    work.await.map(drop).with_context(|| {
        let version = entry.version;
        format!("version {version} of schema {subject} cannot be registered")
    })
}

async fn is_strict(registry: &SchemaRegistry, subject: &str) -> Result<bool, platform_log::Error> {
    let level = registry.compatibility(subject).await?;
    Ok(level.as_deref() == Some(COMPATIBILITY))
}

async fn check(settings: &Settings) -> anyhow::Result<()> {
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let mut work = JoinSet::new();
    for entry in published() {
        let registry = registry.clone();
        work.spawn(async move {
            let subject = subject(entry.topic, entry.name);
            let compatible = registry.is_compatible(&subject, entry.text).await?;
            ensure!(
                compatible,
                "version {} of {subject} is not compatible with what is registered",
                entry.version
            );
            Ok(())
        });
    }
    finish(&mut work).await
}

async fn finish(work: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = work.join_next().await {
        done.context("registering broke down")??;
    }
    Ok(())
}
