//! The definition a notification asks for.

use std::sync::Arc;
use std::time::Duration;

use domain_kernel::TenantId;
use domain_registry::ResourceKind;
use domain_workflow::Definition;
use platform_config::Kafka;
use platform_log::Admin;
use platform_projector::Failure;
use projections_registry_view::RegistryView;
use tracing::warn;

const TOPIC: &str = "mesh.registry";

/// How long the view may take to catch up with the registry before the
/// notification is tried again.
const CATCH_UP: Duration = Duration::from_secs(10);

/// A definition as it is registered now.
#[derive(Debug, Clone)]
pub struct Found {
    pub(crate) id: String,
    pub(crate) digest: String,
    pub(crate) definition: Arc<Definition>,
}

#[derive(Debug)]
pub(crate) struct Definitions {
    view: RegistryView,
    kafka: Kafka,
}

impl Definitions {
    pub(crate) fn new(view: RegistryView, kafka: Kafka) -> Self {
        Self { view, kafka }
    }

    /// The definition `id` of `tenant`. None when it has been retired, belongs
    /// to somebody else or was never registered.
    pub(crate) async fn find(&self, tenant: &TenantId, id: &str) -> Result<Option<Found>, Failure> {
        if let Some(found) = self.look_up(tenant, id) {
            return Ok(Some(found));
        }
        // Whoever sent the notification may know the registry better than this
        // view does: nothing is given up before the view has seen what there is.
        if self.is_unknown(id) {
            self.catch_up().await?;
            if let Some(found) = self.look_up(tenant, id) {
                return Ok(Some(found));
            }
        }
        warn!(workflow.definition = id, tenant.id = %tenant, "notified of a context for a workflow that is not registered");
        Ok(None)
    }

    fn is_unknown(&self, id: &str) -> bool {
        let snapshot = self.view.snapshot();
        snapshot.entry(ResourceKind::Workflow, id).is_none()
    }

    fn look_up(&self, tenant: &TenantId, id: &str) -> Option<Found> {
        let snapshot = self.view.snapshot();
        let registered = snapshot.workflow(id)?;
        if registered.tenant != tenant {
            return None;
        }
        Some(Found {
            id: id.to_owned(),
            digest: registered.resource.digest.clone(),
            definition: snapshot.definition(id)?,
        })
    }

    async fn catch_up(&self) -> Result<(), Failure> {
        let admin = Admin::new(&self.kafka).map_err(Failure::transient)?;
        let ends = admin
            .high_watermarks(TOPIC)
            .await
            .map_err(Failure::transient)?;
        let end = ends.into_iter().map(|(_, end)| end).max().unwrap_or(0);
        tokio::time::timeout(CATCH_UP, self.view.reached(end))
            .await
            .map_err(Failure::transient)
    }
}
