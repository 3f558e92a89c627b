use std::time::{Duration, Instant};

use futures::future::join_all;
use platform_http::reqwest::Client;
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
    let http = client(ClientOptions::with_timeout(PATIENCE)).unwrap();
    ask_with(&http, mesh, headers, body).await
}

async fn ask_with(http: &Client, mesh: &Mesh, headers: &[(&str, &str)], body: &Value) -> Answer {
    let gateway = mesh.settings().gateway.listen;
    let url = format!("http://{gateway}/v1/agents/{AGENT}/invoke");
    let mut request = http.post(url).header("mesh-tenant", TENANT).json(body);
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

/// What each question took in all, and beside the agent's own time.
#[derive(Default)]
struct Took {
    whole: Vec<Duration>,
    beside: Vec<Duration>,
}

async fn ask_one_after_another(mesh: &Mesh, numbers: std::ops::Range<usize>) -> Took {
    let http = client(ClientOptions::with_timeout(PATIENCE)).unwrap();
    let mut took = Took::default();
    for number in numbers {
        let began = Instant::now();
        let answer = ask_with(&http, mesh, &[], &ticket(number)).await;
        let whole = began.elapsed();
        assert_eq!(answer.status, 200, "{}", answer.text);
        // From the call's preparation to its answer, as the agents role counts.
        let agent = answer.json()["duration_ms"].as_u64().unwrap();
        took.whole.push(whole);
        took.beside
            .push(whole.saturating_sub(Duration::from_millis(agent)));
    }
    took
}

/// The median, and what all but one in twenty keep below.
fn p50_and_p95(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

/// One after another, which is held to the goal. What eight at a time take is told
/// and not held to it: others of these tests are at work on the same cores.
#[tokio::test(flavor = "multi_thread")]
async fn asking_takes_less_than_half_a_second_beside_the_agent() {
    const LIMIT: Duration = Duration::from_millis(500);
    const ALONE: &str = "one at a time";
    const QUESTIONS: usize = 40;
    const AT_ONCE: usize = 8;
    const EACH: usize = 20;
    let mesh = shared_mesh().await;
    once_the_agent_is_known(&mesh).await;
    let alone = ask_one_after_another(&mesh, 1_000..1_000 + QUESTIONS).await;
    let asking = (0..AT_ONCE).map(|asker| {
        let first = 2_000 + asker * EACH;
        ask_one_after_another(&mesh, first..first + EACH)
    });
    let mut loaded = Took::default();
    for took in join_all(asking).await {
        loaded.whole.extend(took.whole);
        loaded.beside.extend(took.beside);
    }
    for (name, took) in [(ALONE, alone), ("eight at a time", loaded)] {
        let questions = took.whole.len();
        let (p50, p95) = p50_and_p95(took.whole);
        eprintln!("{questions} questions {name}, in all: p50 {p50:?}, p95 {p95:?}");
        let (p50, p95) = p50_and_p95(took.beside);
        eprintln!("{questions} questions {name}, beside the agent: p50 {p50:?}, p95 {p95:?}");
        if name == ALONE {
            assert!(p95 < LIMIT, "{name}: p95 beside the agent is {p95:?}");
        }
    }
}
