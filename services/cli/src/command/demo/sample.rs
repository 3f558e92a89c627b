//! The sample resources, compiled in, and how they are registered.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform_config::Settings;
use platform_http::reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};

use crate::certificates::origin;

pub(super) const TENANT: &str = "acme";
pub(super) const SOURCE: &str = "zapier";

macro_rules! sample {
    ($path:literal) => {
        include_str!(concat!("../../../../../deploy/samples/", $path))
    };
}

const AGENTS: [(&str, &str); 3] = [
    (
        "chatgpt-customer-support",
        sample!("agents/chatgpt-customer-support.json"),
    ),
    (
        "claude-financial-analyst",
        sample!("agents/claude-financial-analyst.json"),
    ),
    (
        "copilot-enterprise",
        sample!("agents/copilot-enterprise.json"),
    ),
];

/// The secret the demo signs with: drawn once, kept beside the other data.
pub(super) fn signing_secret(settings: &Settings) -> anyhow::Result<String> {
    let path = settings.data_dir.join("demo-signing-secret");
    if let Ok(secret) = std::fs::read_to_string(&path) {
        return Ok(secret.trim().to_owned());
    }
    let secret = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 24]>()));
    write_private(&path, &secret).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(secret)
}

#[cfg(unix)]
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Registers everything; what is registered already stays as it is.
pub(super) async fn register(
    http: &Client,
    settings: &Settings,
    secret: &str,
) -> anyhow::Result<usize> {
    let mut resources = Vec::new();
    for (id, text) in AGENTS {
        let mut agent: Value = serde_json::from_str(text)?;
        agent["endpoint"] = json!(format!("http://{}/{id}/mcp", settings.agent_servers.listen));
        resources.push(("agents", id, agent));
    }
    let mut connector: Value = serde_json::from_str(sample!("connectors/crm.json"))?;
    connector["base_url"] = json!(format!("http://{}", settings.crm_sandbox.listen));
    connector["secret"] = json!(settings.crm_sandbox.access_token.expose());
    resources.push(("connectors", "crm", connector));
    let policy = json!({ "modules": { "ingest.rego": sample!("policies/ingest.rego") } });
    resources.push(("policies", "ingest", policy));
    let policy = json!({ "modules": { "invoke.rego": sample!("policies/invoke.rego") } });
    resources.push(("policies", "invoke", policy));
    let workflow = json!({ "yaml": sample!("workflows/support-ticket.yaml") });
    resources.push(("workflows", "support-ticket", workflow));
    // Last, so that nothing is accepted before all that handles it is there.
    let mut source: Value = serde_json::from_str(sample!("sources/zapier.json"))?;
    source["secret"] = json!(secret);
    resources.push(("sources", SOURCE, source));

    for (kinds, id, resource) in &resources {
        let registry = origin(settings.registry.listen, &settings.registry.tls);
        let url = format!("{registry}/v1/{kinds}/{id}");
        let mut request = http
            .put(&url)
            .header("mesh-tenant", TENANT)
            .header(header::CONTENT_TYPE, "application/json")
            .json(resource);
        if let Some(root) = &settings.identity.root_key {
            request = request.bearer_auth(root.expose());
        }
        let response = request.send().await.with_context(|| {
            format!("the registry at {url} cannot be reached; is `agentmesh dev` running?")
        })?;
        let status = response.status();
        let answer = response.text().await?;
        ensure!(
            status.is_success(),
            "the registry answered {status} to PUT {url}: {answer}"
        );
    }
    Ok(resources.len())
}

/// Gives the CRM's tickets the unique property that carries our id, as an
/// operator does once in a real portal.
pub(super) async fn prepare_crm(http: &Client, settings: &Settings) -> anyhow::Result<()> {
    let url = format!(
        "http://{}/crm/v3/properties/tickets",
        settings.crm_sandbox.listen
    );
    let response = http
        .post(&url)
        .bearer_auth(settings.crm_sandbox.access_token.expose())
        .json(&json!({
            "name": "agentmesh_id",
            "label": "AgentMesh id",
            "type": "string",
            "fieldType": "text",
            "groupName": "ticketinformation",
            "hasUniqueValue": true,
        }))
        .send()
        .await
        .with_context(|| format!("the CRM sandbox at {url} cannot be reached"))?;
    let status = response.status();
    ensure!(
        status.is_success() || status == StatusCode::CONFLICT,
        "the CRM sandbox answered {status} to POST {url}"
    );
    Ok(())
}
