//! How far a delivery has come, told from the audit read model: which events it
//! led to, when, and how its workflows stand. Never what was in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain_kernel::CorrelationId;
use platform_http::Problem;
use platform_http::axum::Json;
use platform_http::axum::extract::rejection::PathRejection;
use platform_http::axum::extract::{Path, State};
use platform_identity::Asking;
use projections_audit::Entry;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::gateway::Gateway;

/// The answer.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Progress {
    #[schema(value_type = String, format = "uuid")]
    correlation_id: CorrelationId,
    /// `accepted`, `refused`, `running`, `compensating`, `succeeded`,
    /// `compensated` or `parked`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_type: Option<String>,
    /// In causal order.
    stages: Vec<Stage>,
    workflows: Vec<Workflow>,
    /// Writes to systems of record that came to an end.
    outcomes: Vec<Outcome>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Stage {
    event: String,
    event_id: String,
    /// RFC 3339.
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    step: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Workflow {
    workflow_id: String,
    status: &'static str,
    started_at: String,
    changed_at: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Outcome {
    effect_id: String,
    /// `confirmed`, `failed` or `unknown`.
    status: &'static str,
    compensation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connector_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remote_id: Option<String>,
}

/// `GET /v1/deliveries/{correlation_id}`
#[utoipa::path(
    get, path = "/v1/deliveries/{correlation_id}", operation_id = "delivery_status", tag = "webhooks",
    summary = "How far a delivery has come",
    params(("correlation_id" = String, Path)),
    responses((status = 200, description = "What it has led to so far.", body = Progress)),
    security(("credential" = []))
)]
pub(crate) async fn status(
    State(gateway): State<Arc<Gateway>>,
    asking: Asking,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Progress>, Problem> {
    asking.may("read")?;
    let unknown = || Problem::not_found("no delivery has this correlation id");
    let correlation: CorrelationId = id
        .ok()
        .and_then(|Path(id)| id.parse().ok())
        .ok_or_else(unknown)?;
    let asked = || projections_audit::by_correlation(&gateway.pool, correlation);
    let entries = gateway.read_models.ask("progress", asked).await?;
    if !entries.is_empty() {
        // What is another tenant's is not there.
        if !entries.iter().all(|entry| asking.sees(&entry.tenant)) {
            return Err(unknown());
        }
        return Ok(Json(progress(correlation, &entries)));
    }
    // The read model may not have come so far: what was answered is accepted.
    let answer = gateway.idempotency.answer(correlation).await;
    let answer = answer.ok_or_else(unknown)?;
    let told: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let own = asking.0.and_then(|caller| caller.tenant);
    if let Some(tenant) = own
        && !gateway
            .sources
            .sent(&tenant, correlation, text(&told, "delivery_id").as_deref())
    {
        return Err(unknown());
    }
    Ok(Json(Progress {
        delivery_id: text(&told, "delivery_id"),
        ..empty(correlation, "accepted")
    }))
}

fn empty(correlation_id: CorrelationId, status: &'static str) -> Progress {
    Progress {
        correlation_id,
        status,
        source_id: None,
        delivery_id: None,
        event_type: None,
        stages: Vec::new(),
        workflows: Vec::new(),
        outcomes: Vec::new(),
    }
}

/// Folds the events of one correlation, given in causal order.
fn progress(correlation: CorrelationId, entries: &[Entry]) -> Progress {
    let mut progress = empty(correlation, "accepted");
    let mut workflows: BTreeMap<&str, Workflow> = BTreeMap::new();
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    let mut accepted = false;
    let mut refused = false;
    for entry in entries {
        progress.stages.push(Stage {
            event: entry.name.clone(),
            event_id: entry.event_id.to_string(),
            at: entry.at.to_rfc3339_millis(),
            step: text(&entry.body, "step"),
        });
        match entry.name.as_str() {
            "DeliveryAccepted" => {
                accepted = true;
                progress.source_id = text(&entry.body, "source_id");
                progress.delivery_id = text(&entry.body, "delivery_id");
                progress.event_type = text(&entry.body, "event_type");
            }
            "DeliveryRefused" => {
                refused = true;
                if progress.source_id.is_none() {
                    progress.source_id = text(&entry.body, "source_id");
                }
            }
            name if entry.topic == "mesh.workflows" => {
                let at = entry.at.to_rfc3339_millis();
                let workflow = workflows.entry(&entry.stream).or_insert_with(|| Workflow {
                    workflow_id: entry.stream.clone(),
                    status: "running",
                    started_at: at.clone(),
                    changed_at: at.clone(),
                });
                workflow.changed_at = at;
                workflow.status = workflow_status(name).unwrap_or(workflow.status);
            }
            name if entry.topic == "mesh.outcomes" => {
                if let Some(status) = outcome_status(name) {
                    outcomes.insert(&entry.stream, outcome(entry, status));
                }
            }
            _ => {}
        }
    }
    if refused && !accepted {
        progress.status = "refused";
    }
    // Of several workflows the one with most left to do speaks for all.
    const MOST_LEFT_FIRST: [&str; 5] = [
        "compensating",
        "running",
        "parked",
        "compensated",
        "succeeded",
    ];
    if let Some(status) = MOST_LEFT_FIRST.into_iter().find(|status| {
        workflows
            .values()
            .any(|workflow| workflow.status == *status)
    }) {
        progress.status = status;
    }
    progress.workflows = workflows.into_values().collect();
    progress.outcomes = outcomes.into_values().collect();
    progress
}

/// How a workflow stands after the event `name`; none where that does not change.
fn workflow_status(name: &str) -> Option<&'static str> {
    Some(match name {
        "CompensationStarted" => "compensating",
        "WorkflowSucceeded" => "succeeded",
        "WorkflowCompensated" => "compensated",
        "WorkflowParked" => "parked",
        _ => return None,
    })
}

fn outcome_status(name: &str) -> Option<&'static str> {
    Some(match name {
        "EffectConfirmed" => "confirmed",
        "EffectFailed" => "failed",
        "EffectUnknown" => "unknown",
        _ => return None,
    })
}

fn outcome(entry: &Entry, status: &'static str) -> Outcome {
    Outcome {
        effect_id: entry.stream.clone(),
        status,
        compensation: entry.body.get("compensation") == Some(&Value::Bool(true)),
        connector_id: text(&entry.body, "connector_id"),
        remote_id: text(&entry.body, "remote_id"),
    }
}

fn text(body: &Value, field: &str) -> Option<String> {
    body.get(field)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use domain_kernel::{EventId, TenantId, Timestamp};
    use serde_json::json;

    use super::*;

    fn id() -> CorrelationId {
        CorrelationId::of_delivery("zapier", "msg_1")
    }

    fn entry(topic: &str, name: &str, stream: &str, body: Value) -> Entry {
        Entry {
            event_id: EventId::derive(&[topic, name, stream]),
            topic: topic.to_owned(),
            partition: 0,
            offset: 0,
            name: name.to_owned(),
            stream: stream.to_owned(),
            version: 1,
            tenant: TenantId::new("acme"),
            correlation: id(),
            causation: None,
            at: Timestamp::from_millis(1_700_000_000_000),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
            body,
            value_sha256: String::new(),
        }
    }

    fn delivered() -> Vec<Entry> {
        let stream = id().to_string();
        vec![
            entry("mesh.decisions", "PolicyDecided", &stream, json!({})),
            entry(
                "mesh.deliveries",
                "DeliveryAccepted",
                &stream,
                json!({"source_id": "zapier", "delivery_id": "msg_1", "event_type": "t", "body": "secret"}),
            ),
        ]
    }

    fn workflow(name: &str, stream: &str) -> Entry {
        entry("mesh.workflows", name, stream, json!({"step": "triage"}))
    }

    #[test]
    fn what_came_in_is_accepted_and_its_body_is_not_told() {
        let told = progress(id(), &delivered());
        assert_eq!(told.status, "accepted");
        assert_eq!(told.delivery_id.as_deref(), Some("msg_1"));
        assert_eq!(told.stages.len(), 2);
        assert_eq!(told.stages[0].at, "2023-11-14T22:13:20.000Z");
        assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
    }

    #[test]
    fn a_refusal_counts_only_while_nothing_was_accepted() {
        let refused = entry(
            "mesh.deliveries",
            "DeliveryRefused",
            "r",
            json!({"source_id": "zapier"}),
        );
        assert_eq!(
            progress(id(), std::slice::from_ref(&refused)).status,
            "refused"
        );
        let mut later = vec![refused];
        later.extend(delivered());
        assert_eq!(progress(id(), &later).status, "accepted");
    }

    #[test]
    fn the_status_is_that_of_the_workflow() {
        let mut events = delivered();
        for (name, status) in [
            ("WorkflowStarted", "running"),
            ("StepStarted", "running"),
            ("CompensationStarted", "compensating"),
            ("StepCompensated", "compensating"),
            ("WorkflowCompensated", "compensated"),
        ] {
            events.push(workflow(name, "w1"));
            assert_eq!(progress(id(), &events).status, status, "{name}");
        }
        events.push(workflow("WorkflowStarted", "w2"));
        assert_eq!(progress(id(), &events).status, "running");
        events.push(workflow("WorkflowSucceeded", "w2"));
        let told = progress(id(), &events);
        assert_eq!(told.status, "compensated");
        assert_eq!(told.workflows.len(), 2);
    }

    #[test]
    fn the_last_outcome_of_an_effect_counts() {
        let mut events = delivered();
        events.push(entry(
            "mesh.outcomes",
            "EffectUnknown",
            "e1",
            json!({"connector_id": "crm"}),
        ));
        events.push(entry(
            "mesh.outcomes",
            "EffectConfirmed",
            "e1",
            json!({"connector_id": "crm", "remote_id": "77", "compensation": false}),
        ));
        let told = progress(id(), &events);
        assert_eq!(told.outcomes.len(), 1);
        assert_eq!(told.outcomes[0].status, "confirmed");
        assert_eq!(told.outcomes[0].remote_id.as_deref(), Some("77"));
    }
}
