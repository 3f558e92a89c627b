//! What the log says of requests, and what it must not: it is read from the
//! standard error of a process of its own, as an operator reads it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod bench;

use std::process::Command;

use bench::users::{INVOKE, call, key};
use bench::{SECRET, now, sign};
use platform_http::reqwest::{Method, StatusCode};
use serde_json::Value;

/// Set in the process whose log is read.
const INNER: &str = "AGENTMESH_TEST_ACCESS_LOG";
/// Begins what that process prints of what no log may hold.
const HUSH: &str = "hush: ";

const BODY: &str = r#"{"event_type":"ticket.created","subject":"a-name-in-a-body"}"#;
const LINES: &str = "{\"event_type\":\"t\",\"n\":1}\n{\"event_type\":\"t\",\"subject\":\"evil\"}";
const QUERY: &str = "a-token-in-a-query";
const COOKIE: &str = "a-cookie";

/// Sends what is to be logged.
async fn inner() {
    let bench = bench::users::bench("access_log").await;
    let mut telemetry = bench.settings.telemetry.clone();
    telemetry.log_format = "json".to_owned();
    let _guard = platform_telemetry::init(&telemetry, "gateway").unwrap();
    let key = key(&bench, "acme", "ada", &["invoke"]).await;
    let gateway = bench
        .start_with(|settings| settings.identity.required = true)
        .await;
    let (timestamp, signature) = sign(SECRET, "msg_1", now(), BODY);
    let forged = "v1,Zm9yZ2VkIGZvcmdlZCBmb3JnZWQgZm9yZ2VkIGZvcmc=";
    let (at, batch_signature) = sign(SECRET, "batch_1", now(), LINES);
    let (timestamp, at) = (timestamp.to_string(), at.to_string());
    let delivery = |signature| {
        [
            ("content-type", "application/json"),
            ("cookie", COOKIE),
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", &*timestamp),
            ("webhook-signature", signature),
        ]
    };
    let with_query = format!("zapier?token={QUERY}");
    let body = BODY.as_bytes();
    let sent = gateway.post(&with_query, &delivery(&signature), body).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.text);
    let sent = gateway.post("zapier", &delivery(forged), body).await;
    assert_eq!(sent.status, StatusCode::UNAUTHORIZED);
    let batch = [
        ("content-type", "application/x-ndjson"),
        ("webhook-id", "batch_1"),
        ("webhook-timestamp", &*at),
        ("webhook-signature", &*batch_signature),
    ];
    let sent = gateway.post("zapier/batch", &batch, LINES.as_bytes()).await;
    assert_eq!(sent.status, StatusCode::MULTI_STATUS, "{}", sent.text);
    let authorization = format!("Bearer {}", key.text);
    let headers = [
        ("authorization", &*authorization),
        ("prefer", "respond-async"),
        ("idempotency-key", "a-key-of-a-question"),
    ];
    let question = r#"{"arguments":{"said":"a-word-in-a-question"}}"#;
    let sent = call(&gateway, Method::POST, INVOKE, &headers, question).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.text);
    let wrong = [("authorization", "Bearer amk_ada_guessed-secret")];
    let sent = call(&gateway, Method::POST, INVOKE, &wrong, "{}").await;
    assert_eq!(sent.status, StatusCode::UNAUTHORIZED);
    let nowhere = format!("/a-name-of-nothing?{QUERY}");
    assert_eq!(gateway.get(&nowhere).await.status, StatusCode::NOT_FOUND);
    println!();
    for hushed in [
        QUERY,
        COOKIE,
        &*signature,
        signature.trim_start_matches("v1,"),
        forged.trim_start_matches("v1,"),
        batch_signature.trim_start_matches("v1,"),
        SECRET.trim_start_matches("whsec_"),
        &*key.text,
        key.text.trim_start_matches("amk_ada_"),
        &*key.secret_sha256,
        "guessed-secret",
        "a-key-of-a-question",
        "a-name-in-a-body",
        "a-word-in-a-question",
        "a-name-of-nothing",
        "evil",
    ] {
        println!("{HUSH}{hushed}");
    }
    gateway.stop().await;
}

#[test]
fn requests_are_told_and_nothing_that_is_secret() {
    if std::env::var_os(INNER).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(inner());
    }
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "requests_are_told_and_nothing_that_is_secret"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let (said, log) = (
        String::from_utf8(ran.stdout).unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    );
    assert!(ran.status.success(), "{said}\n{log}");

    let mut hushed = 0;
    for text in said.lines().filter_map(|line| line.strip_prefix(HUSH)) {
        assert!(!log.contains(text), "{text} is in the log:\n{log}");
        hushed += 1;
    }
    assert_eq!(hushed, 16, "{said}");

    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["target"] == "access")
        .collect();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let status = line["http.response.status_code"].as_u64().unwrap();
            let names = [
                "http.request.method",
                "http.route",
                "tenant.id",
                "source.id",
            ];
            format!("{} {status}", names.map(|name| text(line, name)).join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "POST /hooks/{source_id} acme zapier 202",
            // Whoever forged it is nobody's sender.
            "POST /hooks/{source_id} - - 401",
            "POST /hooks/{source_id}/batch acme zapier 207",
            "POST /v1/agents/{agent}/invoke acme - 202",
            "POST /v1/agents/{agent}/invoke - - 401",
            "GET unmatched - - 404",
        ]
    );
    for line in &lines {
        assert_eq!(line["client.address"], "127.0.0.1");
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(line["network.protocol"], "HTTP/1.1");
    }
    assert_eq!(lines[0]["http.request.body.bytes"], BODY.len());
    assert_ne!(text(&lines[0], "correlation.id"), "-");
}
