use anyhow::ensure;
use platform_config::Settings;
use platform_http::reqwest::{Client, header};
use platform_http::{ClientOptions, client};
use serde_json::{Value, json};

pub const TENANT: &str = "acme";
/// The source of the sample.
pub const SOURCE: &str = "zapier";
/// The kind of context that starts the sample's workflow.
pub const KIND: &str = "support.ticket.created";

macro_rules! sample {
    ($path:literal) => {
        include_str!(concat!("../../../deploy/samples/", $path))
    };
}

/// An operator at the registry.
#[derive(Debug)]
pub struct Registrar {
    http: Client,
    settings: Settings,
}

impl Registrar {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            http: client(ClientOptions::default())?,
            settings: settings.clone(),
        })
    }

    /// Registers what `agentmesh demo` does, the source last.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn sample(&self) -> anyhow::Result<()> {
        let workflow = sample!("workflows/support-ticket.yaml");
        let crm = format!("http://{}", self.settings.crm_sandbox.listen);
        self.sample_with(workflow, &crm, None).await
    }

    /// The sample with more patience in its workflow and with its agent, for
    /// meshes that are broken on purpose, and with the CRM found at `crm`.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn patient_sample(&self, crm: &str) -> anyhow::Result<()> {
        let workflow = sample!("workflows/support-ticket.yaml");
        let patient = workflow
            .replace("deadline: 30s", "deadline: 600s")
            .replace("deadline: 60s", "deadline: 600s");
        self.sample_with(&patient, crm, Some(600_000)).await
    }

    async fn sample_with(
        &self,
        workflow: &str,
        crm: &str,
        agent_timeout_ms: Option<u64>,
    ) -> anyhow::Result<()> {
        let id = "chatgpt-customer-support";
        let mut agent: Value =
            serde_json::from_str(sample!("agents/chatgpt-customer-support.json"))?;
        let servers = self.settings.agent_servers.listen;
        agent["endpoint"] = json!(format!("http://{servers}/{id}/mcp"));
        if let Some(timeout_ms) = agent_timeout_ms {
            agent["timeout_ms"] = json!(timeout_ms);
        }
        self.put("agents", id, agent).await?;
        let mut connector: Value = serde_json::from_str(sample!("connectors/crm.json"))?;
        connector["base_url"] = json!(crm);
        connector["secret"] = json!(self.settings.crm_sandbox.access_token.expose());
        self.put("connectors", "crm", connector).await?;
        let policy = json!({ "modules": { "ingest.rego": sample!("policies/ingest.rego") } });
        self.put("policies", "ingest", policy).await?;
        let policy = json!({ "modules": { "invoke.rego": sample!("policies/invoke.rego") } });
        self.put("policies", "invoke", policy).await?;
        self.workflow("support-ticket", workflow).await?;
        self.source(SOURCE).await
    }

    /// Registers a source like the sample's, with the secret all tests sign with.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn source(&self, id: &str) -> anyhow::Result<()> {
        let mut source: Value = serde_json::from_str(sample!("sources/zapier.json"))?;
        source["secret"] = json!(crate::sender::SECRET);
        self.put("sources", id, source).await
    }

    /// Registers an agent with one tool.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn agent(&self, id: &str, endpoint: &str, tool: &str) -> anyhow::Result<()> {
        let agent = json!({ "name": id, "endpoint": endpoint, "tools": [tool] });
        self.put("agents", id, agent).await
    }

    /// # Errors
    /// When the registry refuses.
    pub async fn workflow(&self, id: &str, yaml: &str) -> anyhow::Result<()> {
        self.put("workflows", id, json!({ "yaml": yaml })).await
    }

    async fn put(&self, kinds: &str, id: &str, resource: Value) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/{kinds}/{id}", self.settings.registry.listen);
        let response = self
            .http
            .put(&url)
            .header("mesh-tenant", TENANT)
            .header(header::CONTENT_TYPE, "application/json")
            .json(&resource)
            .send()
            .await?;
        let status = response.status();
        let answer = response.text().await?;
        ensure!(status.is_success(), "{status} to PUT {url}: {answer}");
        Ok(())
    }
}
