//! What the API for users is asked, with the agents role played: it is the log
//! that connects them.

use domain_execution::{
    ExecutionEvent, ExecutionFailed, ExecutionRequest, ExecutionRequested, ExecutionStarted,
    ExecutionSucceeded,
};
use domain_kernel::{EventId, Json, Metadata, Recorded};
use domain_registry::{Agent, Key, Policy, Resource};
use platform_http::reqwest::Method;
use platform_identity::{Minted, mint};
use platform_testkit::eventually;
use schemas::{Executions, Results};

use super::{Answer, Bench, PATIENCE, Running};

pub(crate) const TENANT: (&str, &str) = ("mesh-tenant", "acme");

const POLICY: &str = r#"package mesh.invoke

allow if not bad_mood

bad_mood if input.arguments.mood == "bad"

reasons contains "bad mood" if bad_mood
"#;

pub(crate) const INVOKE: &str = "/v1/agents/helper/invoke";

/// A bench whose tenant `acme` has the agent `helper` with the tool `help`.
pub(crate) async fn bench(name: &str) -> Bench {
    let bench = Bench::new(name).await;
    let agent = Agent {
        name: "Helper".to_owned(),
        endpoint: "http://127.0.0.1:1/mcp".to_owned(),
        tools: vec!["help".to_owned()],
        timeout_ms: 30_000,
    };
    bench
        .register("acme", "helper", Resource::Agent(agent))
        .await;
    let policy = Policy {
        modules: vec![("invoke.rego".to_owned(), POLICY.to_owned())],
        data: Json::from_text("{}"),
    };
    bench
        .register("acme", "invoke", Resource::Policy(policy))
        .await;
    bench
}

pub(crate) async fn key(bench: &Bench, tenant: &str, id: &str, scopes: &[&str]) -> Minted {
    let minted = mint(id);
    let key = Key {
        subject: format!("{id}-user"),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        secret_sha256: minted.secret_sha256.clone(),
        expires_at: None,
    };
    bench.register(tenant, id, Resource::Key(key)).await;
    minted
}

pub(crate) async fn call(
    gateway: &Running,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = gateway
        .client
        .request(method, format!("{}{path}", gateway.base))
        .header("content-type", "application/json")
        .body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Answer::of(response).await
}

/// What users asked, once `count` of it stands on the log.
pub(crate) async fn asked(bench: &Bench, count: usize) -> Vec<Recorded<ExecutionRequested>> {
    let looking = eventually(PATIENCE, || async {
        let events = bench.events::<Executions>().await;
        (events.len() >= count).then_some(events)
    });
    let events = looking.await.unwrap();
    events
        .into_iter()
        .filter_map(|recorded| match recorded.event.clone() {
            ExecutionRequest::Requested(requested) => Some(recorded.map(|_| requested)),
            ExecutionRequest::Cancelled(_) => None,
        })
        .collect()
}

/// Answers as the agents role does.
pub(crate) async fn answer(bench: &Bench, request: &Recorded<ExecutionRequested>, output: &str) {
    let asked = &request.event;
    let succeeded = ExecutionEvent::Succeeded(ExecutionSucceeded {
        execution_id: asked.execution_id,
        workflow_id: asked.workflow_id,
        step: asked.step.clone(),
        compensation: false,
        agent_id: asked.agent_id.clone(),
        output: Json::from_text(output),
        model: "played".to_owned(),
        duration_ms: 1,
    });
    play(bench, request, succeeded).await;
}

/// Fails as the agents role does.
pub(crate) async fn fail(bench: &Bench, request: &Recorded<ExecutionRequested>, code: &str) {
    let asked = &request.event;
    let failed = ExecutionEvent::Failed(ExecutionFailed {
        execution_id: asked.execution_id,
        workflow_id: asked.workflow_id,
        step: asked.step.clone(),
        compensation: false,
        agent_id: asked.agent_id.clone(),
        code: code.to_owned(),
        reason: "as was to be played".to_owned(),
        duration_ms: 1,
    });
    play(bench, request, failed).await;
}

/// What became of a request: it began, and ended like that.
async fn play(bench: &Bench, request: &Recorded<ExecutionRequested>, end: ExecutionEvent) {
    let asked = &request.event;
    let started = ExecutionEvent::Started(ExecutionStarted {
        execution_id: asked.execution_id,
        workflow_id: asked.workflow_id,
        step: asked.step.clone(),
        agent_id: asked.agent_id.clone(),
        tool: asked.tool.clone(),
        shown: Vec::new(),
        arguments_sha256: String::new(),
        attempt: 1,
    });
    let mut records = Vec::new();
    for (event, version) in [(started, 1), (end, 2)] {
        let meta = Metadata {
            id: EventId::follows(request.meta.id, "answer", version),
            causation: Some(request.meta.id),
            version: version as u64,
            source: "/agentmesh/agents".to_owned(),
            ..request.meta.clone()
        };
        let recorded = Recorded { meta, event };
        records.push(bench.encoder.encode::<Results>(&recorded).unwrap());
    }
    bench.producer.append_all(records).await.unwrap();
}
