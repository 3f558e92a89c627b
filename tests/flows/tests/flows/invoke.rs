use std::time::{Duration, Instant};

use platform_http::reqwest::header::HeaderMap;
use platform_http::{ClientOptions, client};
use platform_testkit::eventually;
use serde_json::{Value, json};
use tests_kit::{Mesh, PATIENCE, TENANT};

use crate::shared_mesh;

const AGENT: &str = "chatgpt-customer-support";

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn ask(mesh: &Mesh, headers: &[(&str, &str)], body: &Value) -> Answer {
    let gateway = mesh.settings().gateway.listen;
    let url = format!("http://{gateway}/v1/agents/{AGENT}/invoke");
    let mut request = client(ClientOptions::with_timeout(PATIENCE))
        .unwrap()
        .post(url)
        .header("mesh-tenant", TENANT)
        .json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

fn ticket(number: usize) -> Value {
    json!({"tool": "handle_ticket", "arguments": {"ticket": {
        "subject": format!("Refund for order {number}"),
        "body": "I was charged 129.90 EUR twice, please send one payment back.",
        "customer": {"name": "Ada Lovelace"},
    }}})
}

/// The registry's changes reach the gateway a moment later.
async fn once_the_agent_is_known(mesh: &Mesh) {
    let known = eventually(PATIENCE, || async {
        (ask(mesh, &[], &ticket(0)).await.status == 200).then_some(())
    });
    known.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_asks_an_agent_and_every_step_is_on_the_log() {
    let mesh = shared_mesh().await;
    once_the_agent_is_known(&mesh).await;
    let first = ask(&mesh, &[("idempotency-key", "flow-1")], &ticket(1)).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let told = first.json();
    assert_eq!(told["status"], "succeeded");
    assert_eq!(told["output"]["category"], "billing", "{told}");

    let again = ask(&mesh, &[("idempotency-key", "\"flow-1\"")], &ticket(1)).await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.text, first.text);
    let other = ask(&mesh, &[("idempotency-key", "flow-1")], &ticket(2)).await;
    assert_eq!(other.status, 422);

    let observer = mesh.observer().await.unwrap();
    let correlation = told["correlation_id"].as_str().unwrap().parse().unwrap();
    let trail = observer
        .recorded(correlation, "ExecutionSucceeded")
        .await
        .unwrap();
    let names: Vec<_> = trail.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "PolicyDecided",
            "ExecutionRequested",
            "ExecutionStarted",
            "ExecutionSucceeded"
        ]
    );

    let denied = json!({"tool": "retract_reply"});
    let denied = ask(&mesh, &[], &denied).await;
    assert_eq!(denied.status, 403, "{}", denied.text);
    let refused = ask(&mesh, &[], &json!({"tool": "handle_ticket"})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(
        refused.json()["type"]
            .as_str()
            .unwrap()
            .ends_with("agent-refused")
    );

    let pending = ask(&mesh, &[("prefer", "respond-async")], &ticket(3)).await;
    assert_eq!(pending.status, 202);
    assert_eq!(pending.headers["preference-applied"], "respond-async");
    let gateway = mesh.settings().gateway.listen;
    let location = pending.headers["location"].to_str().unwrap();
    let url = format!("http://{gateway}{location}");
    let http = client(ClientOptions::default()).unwrap();
    let done = eventually(PATIENCE, || async {
        let status: Value = http.get(&url).send().await.ok()?.json().await.ok()?;
        (status["status"] == "succeeded").then_some(status)
    });
    assert_eq!(done.await.unwrap()["output"]["category"], "billing");

    let events = ask(&mesh, &[("accept", "text/event-stream")], &ticket(4)).await;
    for name in ["event: accepted", "event: started", "event: result"] {
        assert!(events.text.contains(name), "{}", events.text);
    }
}

/// Told, not held to: the machine that tests run on may be busy with anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_asking_takes_is_told() {
    const QUESTIONS: usize = 40;
    let mesh = shared_mesh().await;
    once_the_agent_is_known(&mesh).await;
    let (mut whole, mut beside) = (Vec::new(), Vec::new());
    for number in 0..QUESTIONS {
        let began = Instant::now();
        let answer = ask(&mesh, &[], &ticket(1_000 + number)).await;
        let took = began.elapsed();
        assert_eq!(answer.status, 200, "{}", answer.text);
        // From the call's preparation to its answer, as the agents role counts.
        let agent = answer.json()["duration_ms"].as_u64().unwrap();
        whole.push(took);
        beside.push(took.saturating_sub(Duration::from_millis(agent)));
    }
    for (name, times) in [("in all", &mut whole), ("beside the agent", &mut beside)] {
        times.sort_unstable();
        eprintln!(
            "{QUESTIONS} questions to the offline agent, {name}: p50 {:?}, p95 {:?}",
            times[QUESTIONS / 2],
            times[QUESTIONS * 95 / 100]
        );
    }
}
