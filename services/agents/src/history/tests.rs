use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::get;

use super::*;

fn correlation() -> CorrelationId {
    CorrelationId::derive(&["k"])
}

fn context(name: &str, at: &str, correlation: Option<CorrelationId>) -> Value {
    json!({
        "context_id": ContextId::derive(&[name]).to_string(),
        "kind": "support.ticket.created",
        "at": at,
        "content": {"subject": name},
        "correlation_id": correlation.map(|id| id.to_string()),
    })
}

/// Serves the answers one after the other, the last one for ever.
async fn federation(answers: Vec<(u16, Value)>) -> (Federation, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let handler = move |RawQuery(query): RawQuery| {
        let call = counter.fetch_add(1, Ordering::SeqCst) as usize;
        let (status, body) = answers[call.min(answers.len() - 1)].clone();
        let expected = "tenant=acme&space=support&subject=ada%40example.com&limit=20";
        assert_eq!(query.as_deref(), Some(expected));
        async move { (StatusCode::from_u16(status).unwrap(), body.to_string()) }
    };
    let router = Router::new().route("/v1/contexts", get(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        concurrency: 1,
        agent_concurrency: 1,
        federation_url: format!("http://{}/", listener.local_addr().unwrap()),
        history_limit: 20,
    };
    tokio::spawn(async move { axum::serve(listener, router).await });
    let tls = platform_config::Settings::defaults().unwrap().tls;
    (Federation::new(&settings, &tls, None).unwrap(), calls)
}

async fn ask(federation: &Federation, within: Duration) -> Result<History, ExecutionFailure> {
    let question = Question {
        tenant: &TenantId::new("acme"),
        space: &Space::new("support"),
        subject: "ada@example.com",
        correlation: Some(correlation()),
    };
    federation.history(question, Instant::now() + within).await
}

#[tokio::test]
async fn the_history_is_shown_oldest_first_and_labelled() {
    let contexts = json!({"contexts": [
        context("new", "2026-11-22T10:00:00Z", Some(correlation())),
        context("old", "2026-11-20T10:00:00Z", None),
    ]});
    let (federation, calls) = federation(vec![(200, contexts)]).await;
    let history = ask(&federation, Duration::from_secs(5)).await.unwrap();
    let expected = ["old", "new"].map(|name| ContextId::derive(&[name]));
    assert_eq!(history.shown, expected);
    assert_eq!(history.argument[0]["content"]["subject"], "old");
    assert_eq!(history.argument[1]["_untrusted"], true);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_triggering_context_is_waited_for() {
    let before = json!({"contexts": []});
    let after = json!({"contexts": [context("new", "2026-11-22T10:00:00Z", Some(correlation()))]});
    let (federation, calls) = federation(vec![(200, before), (503, json!({})), (200, after)]).await;
    let history = ask(&federation, Duration::from_secs(30)).await.unwrap();
    assert_eq!(history.shown.len(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_there_is_must_do_when_time_is_short() {
    let merged = json!({"contexts": [context("old", "2026-11-20T10:00:00Z", None)]});
    let (federation, _) = federation(vec![(200, merged)]).await;
    let history = ask(&federation, Duration::from_millis(300)).await.unwrap();
    assert_eq!(history.shown.len(), 1);
}

#[tokio::test]
async fn a_federation_that_says_no_is_not_asked_again() {
    let (federation, calls) = federation(vec![(400, json!({}))]).await;
    let failure = ask(&federation, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(failure.code, "unreachable");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
