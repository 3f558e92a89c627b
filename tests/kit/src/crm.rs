use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::ensure;
use platform_config::Settings;
use platform_http::reqwest::{Client, StatusCode};
use platform_http::{ClientOptions, client};
use serde_json::{Value, json};

/// The CRM sandbox, as its users see it and as it lies on disk.
#[derive(Debug)]
pub struct Crm {
    http: Client,
    base: String,
    token: String,
    journal: PathBuf,
}

impl Crm {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            http: client(ClientOptions::default())?,
            base: format!("http://{}/crm/v3", settings.crm_sandbox.listen),
            token: settings.crm_sandbox.access_token.expose().to_owned(),
            journal: settings.crm_sandbox.data_dir.join("journal.jsonl"),
        })
    }

    /// Gives tickets the unique property that carries our id, as an operator
    /// does once.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        let property = json!({
            "name": "agentmesh_id",
            "label": "AgentMesh id",
            "type": "string",
            "fieldType": "text",
            "groupName": "ticketinformation",
            "hasUniqueValue": true,
        });
        let url = format!("{}/properties/tickets", self.base);
        let request = self.http.post(url).bearer_auth(&self.token).json(&property);
        let status = request.send().await?.status();
        ensure!(status == StatusCode::CREATED, "the property: {status}");
        Ok(())
    }

    /// The ticket records with our id, over HTTP.
    ///
    /// # Errors
    /// When the CRM does not answer.
    pub async fn records(&self, external_id: &str) -> anyhow::Result<Vec<Value>> {
        let search = json!({
            "filterGroups": [{ "filters": [{
                "propertyName": "agentmesh_id", "operator": "EQ", "value": external_id,
            }]}],
            "properties": ["agentmesh_id", "subject", "content", "hs_ticket_priority",
                           "hs_pipeline", "hs_pipeline_stage"],
        });
        let url = format!("{}/objects/tickets/search", self.base);
        let request = self.http.post(url).bearer_auth(&self.token).json(&search);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(answer["results"].as_array().cloned().unwrap_or_default())
    }

    /// Writes to the record with our id, past the mesh.
    ///
    /// # Errors
    /// When the CRM refuses.
    pub async fn write(&self, external_id: &str, fields: &[(&str, &str)]) -> anyhow::Result<()> {
        let properties: BTreeMap<&str, &str> = fields.iter().copied().collect();
        let url = format!(
            "{}/objects/tickets/{external_id}?idProperty=agentmesh_id",
            self.base
        );
        let request = self.http.patch(url).bearer_auth(&self.token);
        let request = request.json(&json!({ "properties": properties }));
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// How often the record with our id was written, by the CRM's own journal.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn writes(&self, external_id: &str) -> anyhow::Result<usize> {
        let journal = std::fs::read_to_string(&self.journal)?;
        let mut writes = 0;
        for line in journal.lines() {
            let change: Value = serde_json::from_str(line)?;
            if change["record"]["properties"]["agentmesh_id"] == external_id {
                writes += 1;
            }
        }
        Ok(writes)
    }
}
