//! The workflow role on a real log: forward, back, and over a restart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Mesh;
use domain_context::{NotificationEvent, SubscriberNotified};
use domain_effect::{EffectConfirmed, EffectEvent, EffectFailed, EffectRequest, EffectRequested};
use domain_execution::{ExecutionEvent, ExecutionRequest, ExecutionRequested, ExecutionSucceeded};
use domain_kernel::{ContextId, CorrelationId, Json, NotificationId, Space, TenantId};
use domain_registry::{RegistryEvent, Resource, ResourceDefined, Workflow};
use domain_workflow::WorkflowEvent;
use schemas::{Effects, Executions, Notifications, Outcomes, Registry, Results, Workflows};
use serde_json::{Value, json};

fn definition(deadline_ms: u64) -> Value {
    json!({
        "name": "support-ticket",
        "trigger": {"kind": "support.ticket.created", "space": "support"},
        "steps": [
            {"name": "triage",
             "agent": {"id": "chatgpt-customer-support", "tool": "handle_ticket",
                       "arguments": {"ticket": "trigger.content"}},
             "deadline_ms": deadline_ms,
             "compensate": {
                "agent": {"id": "chatgpt-customer-support", "tool": "retract_reply",
                          "arguments": {"reply": "steps.triage.output.reply"}},
                "deadline_ms": 60000}},
            {"name": "crm",
             "effect": {"connector": "crm", "operation": "upsert", "object": "tickets",
                        "id_property": "agentmesh_id", "external_id": "trigger.content.ticket_id",
                        "properties": {"content": "steps.triage.output.reply"}},
             "deadline_ms": 60000,
             "compensate": {
                "effect": {"connector": "crm", "operation": "archive", "object": "tickets",
                           "id_property": "agentmesh_id",
                           "external_id": "steps.crm.output.external_id"},
                "deadline_ms": 60000}},
        ],
    })
}

async fn define(mesh: &Mesh, deadline_ms: u64) {
    let event = RegistryEvent::Defined(ResourceDefined {
        id: "support-ticket".to_owned(),
        tenant: TenantId::new("acme"),
        resource: Resource::Workflow(Workflow {
            yaml: String::new(),
            definition: Json::from_text(definition(deadline_ms).to_string()),
            digest: "sha256:00".to_owned(),
        }),
    });
    let correlation = CorrelationId::derive(&["registry"]);
    mesh.append::<Registry>(correlation, "workflow/support-ticket", 1, event)
        .await;
}

fn correlation(name: &str) -> CorrelationId {
    CorrelationId::derive(&[name])
}

async fn notify(mesh: &Mesh, name: &str) {
    let notification_id = NotificationId::derive(&[name]);
    let event = NotificationEvent::Notified(SubscriberNotified {
        notification_id,
        subscriber: "workflow/support-ticket".to_owned(),
        context_id: ContextId::derive(&[name]),
        space: Space::new("support"),
        kind: "support.ticket.created".to_owned(),
        subject: "ada@example.com".to_owned(),
        content: Json::from_text(json!({"ticket_id": name}).to_string()),
    });
    mesh.append::<Notifications>(correlation(name), &notification_id.to_string(), 1, event)
        .await;
}

async fn asked_agent(mesh: &Mesh, compensation: bool) -> ExecutionRequested {
    mesh.wait_for::<Executions, _>(|event| match event {
        ExecutionRequest::Requested(request) if request.compensation == compensation => {
            Some(request.clone())
        }
        _ => None,
    })
    .await
}

async fn asked_connector(mesh: &Mesh) -> EffectRequested {
    mesh.wait_for::<Effects, _>(|event| match event {
        EffectRequest::Requested(request) => Some(request.clone()),
        EffectRequest::Cancelled(_) => None,
    })
    .await
}

async fn agent_answers(mesh: &Mesh, name: &str, request: &ExecutionRequested, output: Value) {
    let event = ExecutionEvent::Succeeded(ExecutionSucceeded {
        execution_id: request.execution_id,
        workflow_id: request.workflow_id,
        step: request.step.clone(),
        compensation: request.compensation,
        agent_id: request.agent_id.clone(),
        output: Json::from_text(output.to_string()),
        model: "offline-rules-1".to_owned(),
        duration_ms: 1,
    });
    let stream = request.execution_id.to_string();
    mesh.append::<Results>(correlation(name), &stream, 1, event)
        .await;
}

async fn ended(mesh: &Mesh) -> WorkflowEvent {
    mesh.wait_for::<Workflows, _>(|event| {
        matches!(
            event,
            WorkflowEvent::Succeeded(_) | WorkflowEvent::Compensated(_) | WorkflowEvent::Parked(_)
        )
        .then(|| event.clone())
    })
    .await
}

fn names(events: &[domain_kernel::Recorded<WorkflowEvent>]) -> Vec<&'static str> {
    use domain_kernel::Codec;
    events
        .iter()
        .map(|recorded| Workflows::name(&recorded.event))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_forward_over_a_restart_and_asks_once() {
    let mesh = Mesh::new("workflow_forward").await;
    define(&mesh, 60_000).await;
    let role = mesh.start();
    notify(&mesh, "T-1").await;
    // The same notification again, as a re-emission would bring it.
    notify(&mesh, "T-1").await;
    let request = asked_agent(&mesh, false).await;
    assert_eq!(
        request.arguments.as_str(),
        r#"{"ticket":{"ticket_id":"T-1"}}"#
    );
    role.stop().await;

    let role = mesh.start();
    agent_answers(&mesh, "T-1", &request, json!({"reply": "Dear Ada"})).await;
    let request = asked_connector(&mesh).await;
    assert_eq!(request.external_id, "T-1");
    assert_eq!(request.properties.as_str(), r#"{"content":"Dear Ada"}"#);
    let event = EffectEvent::Confirmed(EffectConfirmed {
        effect_id: request.effect_id,
        workflow_id: request.workflow_id,
        step: request.step.clone(),
        compensation: false,
        connector_id: "crm".to_owned(),
        remote_id: "101".to_owned(),
        remote_version: "1".to_owned(),
        properties_sha256: "00".to_owned(),
        evidence: domain_effect::Evidence::Answer,
    });
    let stream = request.effect_id.to_string();
    mesh.append::<Outcomes>(correlation("T-1"), &stream, 1, event)
        .await;
    assert!(matches!(ended(&mesh).await, WorkflowEvent::Succeeded(_)));
    role.stop().await;

    let events = mesh.read::<Workflows>().await;
    assert_eq!(
        names(&events),
        [
            "WorkflowStarted",
            "StepStarted",
            "StepSucceeded",
            "StepStarted",
            "StepSucceeded",
            "WorkflowSucceeded"
        ]
    );
    let versions: Vec<u64> = events
        .iter()
        .map(|recorded| recorded.meta.version)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    assert_eq!(mesh.read::<Executions>().await.len(), 1);
    assert_eq!(mesh.read::<Effects>().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_is_followed_by_undoing_what_was_done() {
    let mesh = Mesh::new("workflow_back").await;
    define(&mesh, 60_000).await;
    let role = mesh.start();
    notify(&mesh, "T-2").await;
    let request = asked_agent(&mesh, false).await;
    agent_answers(&mesh, "T-2", &request, json!({"reply": "Dear Ada"})).await;
    let request = asked_connector(&mesh).await;
    let event = EffectEvent::Failed(EffectFailed {
        effect_id: request.effect_id,
        workflow_id: request.workflow_id,
        step: request.step.clone(),
        compensation: false,
        connector_id: "crm".to_owned(),
        code: "rejected".to_owned(),
        reason: "no such property".to_owned(),
    });
    let stream = request.effect_id.to_string();
    mesh.append::<Outcomes>(correlation("T-2"), &stream, 1, event)
        .await;
    let undo = asked_agent(&mesh, true).await;
    assert_eq!(undo.tool, "retract_reply");
    assert_eq!(undo.arguments.as_str(), r#"{"reply":"Dear Ada"}"#);
    agent_answers(&mesh, "T-2", &undo, json!({"retracted": true})).await;
    let end = ended(&mesh).await;
    assert!(
        matches!(&end, WorkflowEvent::Compensated(end) if end.failed_step == "crm" && end.reason == "no such property"),
        "{end:?}"
    );
    role.stop().await;
    assert_eq!(
        names(&mesh.read::<Workflows>().await)[4..],
        [
            "StepFailed",
            "CompensationStarted",
            "StepCompensated",
            "WorkflowCompensated"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_past_its_deadline_is_called_off() {
    let mesh = Mesh::new("workflow_deadline").await;
    define(&mesh, 300).await;
    let role = mesh.start();
    notify(&mesh, "T-3").await;
    let request = asked_agent(&mesh, false).await;
    let end = ended(&mesh).await;
    assert!(matches!(&end, WorkflowEvent::Compensated(end) if end.failed_step == "triage"));
    let cancelled = mesh
        .wait_for::<Executions, _>(|event| match event {
            ExecutionRequest::Cancelled(cancelled) => Some(cancelled.execution_id),
            ExecutionRequest::Requested(_) => None,
        })
        .await;
    assert_eq!(cancelled, request.execution_id);
    role.stop().await;
    let events = mesh.read::<Workflows>().await;
    assert_eq!(
        names(&events),
        [
            "WorkflowStarted",
            "StepStarted",
            "StepFailed",
            "WorkflowCompensated"
        ]
    );
}
