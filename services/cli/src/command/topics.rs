//! `agentmesh topics`.

use std::path::Path;

use anyhow::Context as _;
use platform_config::Settings;
use platform_log::{Admin, TopicSpec};
use schemas::{KeyKind, TOPICS};

use crate::args::TopicsAction;
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, action: TopicsAction) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _guard = settings::quiet_telemetry(&settings)?;
    match action {
        TopicsAction::Apply => {
            let created = apply(&settings).await?;
            println!(
                "{} topics are there, {} of them new",
                TOPICS.len(),
                created.len()
            );
        }
        TopicsAction::List => {
            let topics = Admin::new(&settings.kafka)?.topics().await;
            for (name, partitions) in topics.context("topics cannot be listed")? {
                println!("{name:<24} {partitions}");
            }
        }
    }
    Ok(())
}

/// Creates the topics that are missing, and returns their names.
pub(crate) async fn apply(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let admin = Admin::new(&settings.kafka)?;
    let created = admin.ensure_topics(&specs(settings.kafka.partitions)).await;
    created.context("topics cannot be applied")
}

/// Topics with the same kind of key have the same number of partitions.
fn specs(partitions: u32) -> Vec<TopicSpec> {
    let spec = |(name, key): &(&str, KeyKind)| match key {
        KeyKind::Single => TopicSpec::new(*name, 1),
        _ => TopicSpec::new(*name, partitions),
    };
    TOPICS.iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_has_one_partition_and_the_others_are_co_partitioned() {
        for spec in specs(6) {
            let wanted = if spec.name == "mesh.registry" { 1 } else { 6 };
            assert_eq!(spec.partitions, wanted, "{}", spec.name);
        }
        assert_eq!(specs(6).len(), 12);
    }
}
