//! The agents role on a real log, with an MCP server and a federation played here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use common::Mesh;
use domain_execution::{
    ExecutionCancelled, ExecutionEvent, ExecutionRequest, ExecutionRequested, ExecutionStarted,
};
use domain_kernel::{ContextId, CorrelationId, ExecutionId, Json, Space, TenantId, WorkflowId};
use domain_registry::{Agent, RegistryEvent, Resource, ResourceDefined};
use platform_mcp::{IncomingCall, ServerOptions, ToolFailure, ToolSpec, Toolbox};
use schemas::{Executions, Registry, Results};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Tools {
    calls: Mutex<Vec<IncomingCall>>,
    hanging: Notify,
    broken: AtomicU32,
}

impl Toolbox for Tools {
    fn name(&self) -> &str {
        "tools"
    }

    fn instructions(&self) -> &str {
        "For tests."
    }

    fn tools(&self) -> Vec<ToolSpec> {
        let object = || Map::from_iter([("type".to_owned(), json!("object"))]);
        let tool = |name| ToolSpec {
            name,
            title: name,
            description: name,
            input_schema: object(),
            output_schema: object(),
            read_only: true,
        };
        ["answer", "fail", "hang"].map(tool).into()
    }

    async fn call(&self, call: IncomingCall) -> Result<Map<String, Value>, ToolFailure> {
        self.calls.lock().unwrap().push(call.clone());
        match call.tool.as_str() {
            "answer" => Ok(Map::from_iter([
                ("reply".to_owned(), json!("Dear Ada")),
                ("model".to_owned(), json!("test-model")),
            ])),
            "fail" => Err(ToolFailure::Failed("out of paper".to_owned())),
            _ => {
                self.hanging.notify_one();
                std::future::pending().await
            }
        }
    }
}

fn correlation() -> CorrelationId {
    CorrelationId::derive(&["k"])
}

fn context(name: &str, at: &str) -> Value {
    json!({
        "context_id": ContextId::derive(&[name]).to_string(),
        "kind": "support.ticket.created",
        "at": at,
        "content": {"subject": name},
        "correlation_id": correlation().to_string(),
    })
}

/// Serves the tools and a federation; registers the agent.
async fn around(mesh: &mut Mesh) -> Arc<Tools> {
    let tools = Arc::new(Tools::default());
    let options = ServerOptions {
        allowed_hosts: Vec::new(),
        max_body_bytes: 1 << 20,
        shutdown: CancellationToken::new(),
    };
    let contexts = json!({"contexts": [
        context("new", "2026-11-22T10:00:00Z"),
        context("old", "2026-11-20T10:00:00Z"),
    ]})
    .to_string();
    let away = Arc::clone(&tools);
    let mcp = platform_mcp::router("/mcp", Arc::clone(&tools), options).layer(
        axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
            let away = Arc::clone(&away);
            async move {
                // The first so many requests meet a server that is not up yet.
                let left = away
                    .broken
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    });
                if left.is_ok() {
                    return axum::response::IntoResponse::into_response(
                        axum::http::StatusCode::SERVICE_UNAVAILABLE,
                    );
                }
                next.run(request).await
            }
        }),
    );
    let router = Router::new()
        .route("/v1/contexts", get(move || async move { contexts }))
        .merge(mcp);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    mesh.bed.settings.agents.federation_url = base.clone();

    let event = RegistryEvent::Defined(ResourceDefined {
        id: "helper".to_owned(),
        tenant: TenantId::new("acme"),
        resource: Resource::Agent(Agent {
            name: "Helper".to_owned(),
            endpoint: format!("{base}/mcp"),
            tools: ["answer", "fail", "hang"].map(str::to_owned).into(),
            timeout_ms: 60_000,
        }),
    });
    mesh.append::<Registry>(correlation(), "agent/helper", 1, event)
        .await;
    tools
}

fn request(name: &str, agent: &str, tool: &str, deadline_ms: i64) -> ExecutionRequested {
    ExecutionRequested {
        execution_id: ExecutionId::derive(&[name]),
        workflow_id: WorkflowId::derive(&["w"]),
        step: "triage".to_owned(),
        compensation: false,
        agent_id: agent.to_owned(),
        tool: tool.to_owned(),
        arguments: Json::from_text(r#"{"ticket":{"id":"T-1"}}"#),
        space: Space::new("support"),
        subject: "ada@example.com".to_owned(),
        deadline: platform_telemetry::now().plus_millis(deadline_ms),
    }
}

async fn ask(mesh: &Mesh, request: &ExecutionRequested) {
    let event = ExecutionRequest::Requested(request.clone());
    let stream = request.execution_id.to_string();
    mesh.append::<Executions>(correlation(), &stream, 1, event)
        .await;
}

/// The answer to one execution: its output or its code.
async fn answer(mesh: &Mesh, id: ExecutionId) -> Result<Value, String> {
    mesh.wait_for::<Results, _>(|event| match event {
        ExecutionEvent::Succeeded(event) if event.execution_id == id => {
            assert_eq!(event.model, "test-model");
            Some(Ok(serde_json::from_str(event.output.as_str()).unwrap()))
        }
        ExecutionEvent::Failed(event) if event.execution_id == id => Some(Err(event.code.clone())),
        _ => None,
    })
    .await
}

async fn starts(mesh: &Mesh, id: ExecutionId) -> Vec<ExecutionStarted> {
    let events = mesh.read::<Results>().await;
    events
        .into_iter()
        .filter_map(|recorded| match recorded.event {
            ExecutionEvent::Started(event) if event.execution_id == id => Some(event),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_was_shown_and_answered_is_on_record() {
    let mut mesh = Mesh::new("agents_answers").await;
    let tools = around(&mut mesh).await;
    // The server comes up late: the call is repeated under the same key.
    tools.broken.store(2, Ordering::SeqCst);
    let role = mesh.start();
    let wanted = request("a", "helper", "answer", 60_000);
    ask(&mesh, &wanted).await;
    let output = answer(&mesh, wanted.execution_id).await.unwrap();
    assert_eq!(output["reply"], "Dear Ada");

    let started = starts(&mesh, wanted.execution_id).await;
    assert_eq!(started.len(), 1);
    let shown = ["old", "new"].map(|name| ContextId::derive(&[name]));
    assert_eq!(started[0].shown, shown);
    let calls = std::mem::take(&mut *tools.calls.lock().unwrap());
    assert_eq!(calls.len(), 1);
    let key = wanted.execution_id.to_string();
    assert_eq!(calls[0].idempotency_key.as_deref(), Some(key.as_str()));
    assert_eq!(calls[0].arguments["ticket"]["id"], "T-1");
    assert_eq!(
        calls[0].arguments["history"][0]["content"]["subject"],
        "old"
    );
    assert_eq!(calls[0].arguments["history"][1]["_untrusted"], true);

    // The same request once more changes nothing.
    ask(&mesh, &wanted).await;
    for (name, agent, tool, deadline_ms, code) in [
        ("b", "helper", "fail", 60_000, "tool-error"),
        ("c", "nobody", "answer", 60_000, "unknown-agent"),
        ("d", "helper", "transfer", 60_000, "not-allowed"),
        ("e", "helper", "answer", -1, "deadline"),
        ("f", "helper", "hang", 1_000, "deadline"),
    ] {
        let request = request(name, agent, tool, deadline_ms);
        ask(&mesh, &request).await;
        let failed = answer(&mesh, request.execution_id).await;
        assert_eq!(failed, Err(code.to_owned()), "{name}");
    }
    role.stop().await;
    let finals = mesh.read::<Results>().await;
    let finals = finals
        .iter()
        .filter(|recorded| !matches!(recorded.event, ExecutionEvent::Started(_)));
    assert_eq!(finals.count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_called_off_ends_as_cancelled() {
    let mut mesh = Mesh::new("agents_cancel").await;
    let tools = around(&mut mesh).await;
    let role = mesh.start();
    let wanted = request("a", "helper", "hang", 120_000);
    ask(&mesh, &wanted).await;
    tools.hanging.notified().await;
    let event = ExecutionRequest::Cancelled(ExecutionCancelled {
        execution_id: wanted.execution_id,
        workflow_id: wanted.workflow_id,
        step: wanted.step.clone(),
        reason: "no answer before the deadline".to_owned(),
    });
    let stream = wanted.execution_id.to_string();
    mesh.append::<Executions>(correlation(), &stream, 2, event)
        .await;
    let code = answer(&mesh, wanted.execution_id).await.unwrap_err();
    assert_eq!(code, "cancelled");
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_without_an_answer_is_called_again_under_its_key() {
    let mut mesh = Mesh::new("agents_resume").await;
    let tools = around(&mut mesh).await;
    let role = mesh.start();
    let wanted = request("a", "helper", "hang", 120_000);
    ask(&mesh, &wanted).await;
    tools.hanging.notified().await;
    role.stop().await;

    let role = mesh.start();
    tools.hanging.notified().await;
    role.stop().await;
    let started = starts(&mesh, wanted.execution_id).await;
    let attempts: Vec<u32> = started.iter().map(|started| started.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    let calls = tools.calls.lock().unwrap();
    assert_eq!(calls[0].idempotency_key, calls[1].idempotency_key);
}
