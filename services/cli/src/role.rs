//! The roles and how each is run.

use std::sync::Arc;

use clap::ValueEnum;
use platform_config::Settings;
use platform_http::Readiness;
use tokio_util::sync::CancellationToken;

/// One service of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Takes webhooks in (:3000)
    Gateway,
    /// Keeps sources, agents, policies, workflows and connectors (:3001)
    Registry,
    /// Answers policy questions (:3003)
    Policy,
    /// Deduplicates and shares contexts (:3004)
    Federation,
    /// Runs the workflows
    Workflow,
    /// Calls the agents
    Agents,
    /// Writes to the systems of record
    Sync,
    /// Keeps the read models
    Projections,
    /// The bundled agents (:3010)
    AgentServers,
    /// A CRM for local use (:3020)
    CrmSandbox,
}

impl Role {
    /// All of them, those that others ask first.
    pub(crate) const ALL: [Self; 10] = [
        Self::CrmSandbox,
        Self::AgentServers,
        Self::Registry,
        Self::Policy,
        Self::Projections,
        Self::Federation,
        Self::Sync,
        Self::Agents,
        Self::Workflow,
        Self::Gateway,
    ];

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Runs until `shutdown`, then drains.
    pub(crate) async fn run(
        self,
        settings: Arc<Settings>,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        match self {
            Self::Gateway => services_gateway::run(settings, readiness, shutdown).await?,
            Self::Registry => services_registry::run(settings, readiness, shutdown).await?,
            Self::Policy => services_policy::run(settings, readiness, shutdown).await?,
            Self::Federation => services_federation::run(settings, readiness, shutdown).await?,
            Self::Workflow => services_workflow::run(settings, readiness, shutdown).await?,
            Self::Agents => services_agents::run(settings, readiness, shutdown).await?,
            Self::Sync => services_sync::run(settings, readiness, shutdown).await?,
            Self::Projections => services_projections::run(settings, readiness, shutdown).await?,
            Self::AgentServers => {
                services_agent_servers::run(settings, readiness, shutdown).await?
            }
            Self::CrmSandbox => services_crm_sandbox::run(settings, readiness, shutdown).await?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_in_the_list_of_all() {
        let mut all = Role::ALL.map(Role::name).to_vec();
        let mut known: Vec<String> = Role::value_variants()
            .iter()
            .map(|role| role.name())
            .collect();
        all.sort();
        known.sort();
        assert_eq!(all, known);
    }
}
