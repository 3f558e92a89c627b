use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{Space, TenantId};
use domain_registry::ResourceKind;
use platform_config::Kafka;
use platform_log::PartitionReader;
use platform_projector::Failure;
use projections_registry_view::{RegistryView, Snapshot};
use tokio::sync::OnceCell;

const TOPIC: &str = "mesh.registry";

/// How long the view may take to see what is on the topic.
const CATCH_UP: Duration = Duration::from_secs(10);

/// What is registered about sources and subscribers.
///
/// The gateway and this process follow the registry each for itself. Whoever
/// registers a source or a workflow and sends a webhook at once may find this
/// view a moment behind, so nothing is taken for unregistered before the view
/// has seen all that is on the topic.
#[derive(Debug)]
pub(crate) struct Sources {
    view: RegistryView,
    kafka: Kafka,
    reader: OnceCell<PartitionReader>,
}

impl Sources {
    pub(crate) fn new(view: RegistryView, kafka: Kafka) -> Self {
        Self {
            view,
            kafka,
            reader: OnceCell::new(),
        }
    }

    /// What is registered, with the source in it if it ever was.
    pub(crate) async fn with_source(&self, source_id: &str) -> Result<Arc<Snapshot>, Failure> {
        let snapshot = self.view.snapshot();
        if snapshot.entry(ResourceKind::Source, source_id).is_some() {
            return Ok(snapshot);
        }
        self.catch_up().await?;
        Ok(self.view.snapshot())
    }

    /// Who is told of a context, by subscriber id.
    pub(crate) async fn subscribers(
        &self,
        tenant: &TenantId,
        space: &Space,
        kind: &str,
    ) -> Result<Vec<String>, Failure> {
        let known = self.known_subscribers(tenant, space, kind);
        if !known.is_empty() {
            return Ok(known);
        }
        self.catch_up().await?;
        Ok(self.known_subscribers(tenant, space, kind))
    }

    fn known_subscribers(&self, tenant: &TenantId, space: &Space, kind: &str) -> Vec<String> {
        self.view
            .snapshot()
            .subscriptions(tenant, space, kind)
            .into_iter()
            .map(|subscriber| subscriber.id)
            .collect()
    }

    async fn catch_up(&self) -> Result<(), Failure> {
        // Only asked where the topic ends, never read; kept, because a
        // connection costs more than the question.
        let reader = self
            .reader
            .get_or_try_init(|| async {
                let next_offset = self.view.snapshot().next_offset();
                PartitionReader::open(&self.kafka, TOPIC, [(0, next_offset)])
            })
            .await
            .map_err(Failure::transient)?;
        let ends = reader.high_watermarks().await.map_err(Failure::transient)?;
        let end = ends.first().map_or(0, |(_, end)| *end);
        tokio::time::timeout(CATCH_UP, self.view.reached(end))
            .await
            .map_err(Failure::transient)
    }
}
