#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_execution::{
    ExecutionCancelled, ExecutionEvent, ExecutionFailed, ExecutionRequest, ExecutionRequested,
    ExecutionStarted, ExecutionSucceeded,
};
use domain_kernel::{
    ContextId, ExecutionId, Json, Recorded, Space, TenantId, Timestamp, WorkflowId,
};
use projections_executions::{ExecutionsProjection, by_correlation, by_id, latest};
use schemas::{Executions, Results};
use testing::{MANY, Mesh, again, correlation, recorded};

fn id(name: &str) -> ExecutionId {
    ExecutionId::derive(&[name])
}

fn requested(name: &str) -> Recorded<ExecutionRequest> {
    let event = ExecutionRequest::Requested(ExecutionRequested {
        execution_id: id(name),
        workflow_id: WorkflowId::derive(&["w"]),
        step: "triage".to_owned(),
        compensation: false,
        agent_id: "chatgpt-customer-support".to_owned(),
        tool: "handle_ticket".to_owned(),
        arguments: Json::from_text("{}"),
        space: Space::new("support"),
        subject: "ada".to_owned(),
        deadline: Timestamp::from_millis(1_760_000_000_000),
    });
    recorded(&format!("{name} request"), 1, event)
}

fn answer(name: &str, version: u64, event: ExecutionEvent) -> Recorded<ExecutionEvent> {
    recorded(&format!("{name} answer"), version, event)
}

fn started(name: &str, version: u64) -> Recorded<ExecutionEvent> {
    let event = ExecutionEvent::Started(ExecutionStarted {
        execution_id: id(name),
        workflow_id: WorkflowId::derive(&["w"]),
        step: "triage".to_owned(),
        agent_id: "chatgpt-customer-support".to_owned(),
        tool: "handle_ticket".to_owned(),
        shown: vec![ContextId::derive(&["c"])],
        arguments_sha256: "00".to_owned(),
        attempt: u32::try_from(version).unwrap(),
    });
    answer(name, version, event)
}

fn failed(name: &str, version: u64) -> Recorded<ExecutionEvent> {
    answer(
        name,
        version,
        ExecutionEvent::Failed(ExecutionFailed {
            execution_id: id(name),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            compensation: false,
            agent_id: "chatgpt-customer-support".to_owned(),
            code: "unreachable".to_owned(),
            reason: "connection refused".to_owned(),
            duration_ms: 3,
        }),
    )
}

fn cancelled(name: &str) -> Recorded<ExecutionRequest> {
    recorded(
        &format!("{name} request"),
        2,
        ExecutionRequest::Cancelled(ExecutionCancelled {
            execution_id: id(name),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            reason: "deadline".to_owned(),
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_execution_log_tells_what_was_shown_and_said() {
    let mesh = Mesh::new("executions").await;
    let succeeded = answer(
        "done",
        3,
        ExecutionEvent::Succeeded(ExecutionSucceeded {
            execution_id: id("done"),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            compensation: false,
            agent_id: "chatgpt-customer-support".to_owned(),
            output: Json::from_text(r#"{"priority":"high"}"#),
            model: "offline-rules-1".to_owned(),
            duration_ms: 12,
        }),
    );
    let requests = ["done", "failed", "cancelled", "waiting", "running"].map(requested);
    let answers = [
        started("done", 1),
        started("done", 2),
        succeeded,
        failed("failed", 1),
        started("running", 1),
    ];
    let encode = |requests: &[Recorded<_>], answers: &[Recorded<_>]| {
        let answers = answers.iter().map(|event| mesh.record::<Results>(event));
        let requests = requests
            .iter()
            .map(|event| mesh.record::<Executions>(event));
        answers.chain(requests).collect::<Vec<_>>()
    };
    let mut requests = requests.to_vec();
    requests.push(cancelled("cancelled"));
    let records = encode(&requests, &answers);
    let repeats = encode(
        &requests.iter().map(again).collect::<Vec<_>>(),
        &answers.iter().rev().map(again).collect::<Vec<_>>(),
    );
    mesh.laws(ExecutionsProjection::new, records, repeats).await;

    let status = async |name: &str| by_id(&mesh.pool, id(name)).await.unwrap().unwrap().status;
    assert_eq!(status("failed").await, "failed");
    assert_eq!(status("cancelled").await, "cancelled");
    assert_eq!(status("waiting").await, "requested");
    assert_eq!(status("running").await, "running");
    let done = by_id(&mesh.pool, id("done")).await.unwrap().unwrap();
    assert_eq!((done.status.as_str(), done.attempts), ("succeeded", 2));
    assert_eq!(done.shown, [ContextId::derive(&["c"])]);
    assert_eq!(done.model.as_deref(), Some("offline-rules-1"));
    assert_eq!(done.output.unwrap().as_str(), r#"{"priority":"high"}"#);
    let all = by_correlation(&mesh.pool, correlation()).await.unwrap();
    assert_eq!(all.len(), 5);
    let newest = latest(&mesh.pool, &TenantId::new("acme"), 2).await.unwrap();
    assert_eq!(newest.len(), 2);
    let others = latest(&mesh.pool, &TenantId::new("other"), 2).await;
    assert_eq!(others.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("executions_many").await;
    let records = (0..MANY)
        .flat_map(|n| {
            let name = n.to_string();
            let requests = [requested(&name), cancelled(&name)];
            let answers = [started(&name, 1), failed(&name, 2)];
            let requests = requests.map(|event| mesh.record::<Executions>(&event));
            let answers = answers.map(|event| mesh.record::<Results>(&event));
            requests.into_iter().chain(answers)
        })
        .collect();
    mesh.few_or_many_give_the_same_rows(ExecutionsProjection::new, records)
        .await;
}
