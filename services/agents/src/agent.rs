//! Who is called: the agent as it is registered now.

use std::time::Duration;

use domain_kernel::TenantId;
use domain_registry::{Agent, ResourceKind};
use platform_config::Kafka;
use platform_log::Admin;
use projections_registry_view::RegistryView;
use tracing::warn;

use crate::failure::ExecutionFailure;

const TOPIC: &str = "mesh.registry";

/// How long the view may take to catch up before an agent counts as unknown.
const CATCH_UP: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Agents {
    view: RegistryView,
    kafka: Kafka,
}

impl Agents {
    pub(crate) fn new(view: RegistryView, kafka: Kafka) -> Self {
        Self { view, kafka }
    }

    /// The agent `id` of `tenant`, if it may be asked to use `tool`.
    pub(crate) async fn find(
        &self,
        tenant: &TenantId,
        id: &str,
        tool: &str,
    ) -> Result<Agent, ExecutionFailure> {
        let mut found = self.look_up(tenant, id);
        if found.is_none() && self.is_unknown(id) {
            self.catch_up().await;
            found = self.look_up(tenant, id);
        }
        let agent = found.ok_or_else(|| {
            ExecutionFailure::new("unknown-agent", format!("no agent {id} is registered"))
        })?;
        if !agent.tools.iter().any(|allowed| allowed == tool) {
            return Err(ExecutionFailure::new(
                "not-allowed",
                format!("agent {id} is not registered with a tool {tool}"),
            ));
        }
        Ok(agent)
    }

    fn is_unknown(&self, id: &str) -> bool {
        self.view
            .snapshot()
            .entry(ResourceKind::Agent, id)
            .is_none()
    }

    fn look_up(&self, tenant: &TenantId, id: &str) -> Option<Agent> {
        let snapshot = self.view.snapshot();
        let registered = snapshot.agent(id)?;
        (registered.tenant == tenant).then(|| registered.resource.clone())
    }

    /// Lets the view see what is registered by now; whoever asked for the
    /// execution may have seen more of the registry than this view.
    async fn catch_up(&self) {
        let reached = async {
            let ends = Admin::new(&self.kafka)?.high_watermarks(TOPIC).await?;
            let end = ends.into_iter().map(|(_, end)| end).max().unwrap_or(0);
            self.view.reached(end).await;
            Ok::<_, platform_log::Error>(())
        };
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %error, "the end of the registry cannot be found"),
            Err(_) => warn!("the registry view does not catch up"),
        }
    }
}
