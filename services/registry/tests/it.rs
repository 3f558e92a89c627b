//! The registry on real servers, spoken to over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::{Bench, PATIENCE};
use platform_http::reqwest::{Method, StatusCode};
use platform_postgres::Pool;
use platform_testkit::eventually;
use serde_json::{Value, json};

const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn agent(timeout_ms: u64) -> Value {
    json!({
        "name": "Triage",
        "endpoint": "http://127.0.0.1:3010/triage/mcp",
        "tools": ["handle_ticket"],
        "timeout_ms": timeout_ms,
    })
}

#[tokio::test]
async fn a_resource_lives_through_its_versions() {
    let bench = Bench::new("registry_life").await;
    let registry = bench.start().await;
    let path = "/v1/agents/triage";

    let created = registry.put(path, &agent(1_000)).await;
    assert_eq!(
        (created.status, created.etag()),
        (StatusCode::CREATED, "\"1\"")
    );
    assert_eq!(created.header("location"), Some(path));
    let again = registry.put(path, &agent(1_000)).await;
    assert_eq!((again.status, again.etag()), (StatusCode::OK, "\"1\""));
    assert_eq!(
        bench.events().await.len(),
        1,
        "the same content is no event"
    );

    let changed = registry.put(path, &agent(2_000)).await;
    assert_eq!((changed.status, changed.etag()), (StatusCode::OK, "\"2\""));
    for (name, value) in [("if-match", "\"1\""), ("if-none-match", "*")] {
        let refused = registry
            .send(Method::PUT, path, &[(name, value)], Some(&agent(3_000)))
            .await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{name}");
        assert_eq!(refused.body["version"], 2);
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json")
        );
    }
    let matched = registry
        .send(
            Method::PUT,
            path,
            &[("if-match", "\"2\"")],
            Some(&agent(3_000)),
        )
        .await;
    assert_eq!((matched.status, matched.etag()), (StatusCode::OK, "\"3\""));

    let read = registry.get(path).await;
    assert_eq!(read.body["resource"]["timeout_ms"], 3_000);
    assert_eq!(
        (&read.body["id"], &read.body["version"]),
        (&json!("triage"), &json!(3))
    );
    let known = registry
        .send(Method::GET, path, &[("if-none-match", "\"3\"")], None)
        .await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(
        registry.get("/v1/agents").await.body["items"][0]["id"],
        "triage"
    );

    for _ in 0..2 {
        let retired = registry.send(Method::DELETE, path, &[], None).await;
        assert_eq!(retired.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(registry.get(path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(registry.get("/v1/agents").await.body["items"], json!([]));
    let back = registry.put(path, &agent(1_000)).await;
    assert_eq!((back.status, back.etag()), (StatusCode::CREATED, "\"5\""));
    assert_eq!(bench.events().await.len(), 5);
    registry.stop().await;
}

#[tokio::test]
async fn bad_requests_change_nothing_and_say_why() {
    let bench = Bench::new("registry_bad").await;
    let registry = bench.start().await;
    let cases = [
        (
            "/v1/agents/Not-A-Name",
            agent(1_000),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/v1/agents/a",
            json!({"name": "x"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("/v1/pigeons/a", agent(1_000), StatusCode::NOT_FOUND),
        (
            "/v1/policies/p",
            json!({"modules": {"p.rego": "package"}}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/v1/policies/p",
            json!({"modules": {"p.rego": "package other"}}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ];
    for (path, body, status) in cases {
        let refused = registry.put(path, &body).await;
        assert_eq!(refused.status, status, "{path} {}", refused.body);
        assert!(refused.body["type"].is_string(), "{}", refused.body);
    }
    let incomplete = registry.put("/v1/agents/a", &json!({"name": "x"})).await;
    assert_eq!(incomplete.body["errors"][0]["pointer"], "/endpoint");

    let nobody = registry.without_tenant(Method::GET, "/v1/agents").await;
    assert_eq!(nobody, StatusCode::BAD_REQUEST);
    let yaml = registry
        .text(Method::PUT, "/v1/agents/a", "application/yaml", "name: x")
        .await;
    assert_eq!(yaml.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let post = registry.send(Method::POST, "/v1/agents/a", &[], None).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(bench.events().await.len(), 0);
    registry.stop().await;
}

#[tokio::test]
async fn the_samples_register_without_a_warning() {
    let bench = Bench::new("registry_samples").await;
    let registry = bench.start().await;
    let folder = platform_testkit::workspace_dir().join("deploy/samples");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).expect(path);
    let with_secret = |path: &str, secret: &str| {
        let mut value: Value = serde_json::from_str(&read(path)).unwrap();
        value["secret"] = secret.into();
        value
    };
    let source = with_secret("sources/zapier.json", WEBHOOK_SECRET);
    let connector = with_secret("connectors/crm.json", "sandbox-token");
    let mut answers = vec![
        registry.put("/v1/sources/zapier", &source).await,
        registry.put("/v1/connectors/crm", &connector).await,
        registry
            .text(
                Method::PUT,
                "/v1/policies/ingest",
                "text/plain",
                &read("policies/ingest.rego"),
            )
            .await,
    ];
    for agent in [
        "chatgpt-customer-support",
        "claude-financial-analyst",
        "copilot-enterprise",
    ] {
        let body = serde_json::from_str(&read(&format!("agents/{agent}.json"))).unwrap();
        answers.push(registry.put(&format!("/v1/agents/{agent}"), &body).await);
    }
    let workflow = read("workflows/support-ticket.yaml");
    let path = "/v1/workflows/support-ticket";
    answers.push(
        registry
            .text(Method::PUT, path, "application/yaml", &workflow)
            .await,
    );
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        assert_eq!(answer.body["warnings"], Value::Null, "{}", answer.body);
    }

    // Put once more, nothing changes: sealed secrets are compared opened.
    assert_eq!(
        registry.put("/v1/sources/zapier", &source).await.status,
        StatusCode::OK
    );
    assert_eq!(
        registry.put("/v1/connectors/crm", &connector).await.status,
        StatusCode::OK
    );
    let again = registry.put(path, &json!({"yaml": workflow})).await;
    assert_eq!((again.status, again.etag()), (StatusCode::OK, "\"1\""));
    assert_eq!(bench.events().await.len(), 7);

    // What a workflow refers to and is not there is told.
    let elsewhere = workflow.replace("connector: crm", "connector: erp");
    let warned = registry
        .text(Method::PUT, path, "application/yaml", &elsewhere)
        .await;
    assert_eq!(warned.status, StatusCode::OK);
    assert_eq!(
        warned.body["warnings"][0]["pointer"],
        "/steps/1/effect/connector"
    );
    registry.stop().await;
}

#[tokio::test]
async fn secrets_are_sealed_on_the_log_and_shown_nowhere() {
    let bench = Bench::new("registry_secrets").await;
    let registry = bench.start().await;
    let source = |secret: Option<&str>| {
        json!({
            "space": "support",
            "scheme": "standard-webhooks",
            "secrets": [{"id": "a", "secret": secret}],
            "event_type": "ticket",
        })
    };
    let path = "/v1/sources/zapier";
    let missing = registry.put(path, &source(None)).await;
    assert_eq!(missing.body["errors"][0]["pointer"], "/secrets/0/secret");
    let created = registry.put(path, &source(Some(WEBHOOK_SECRET))).await;
    assert_eq!(created.status, StatusCode::CREATED);
    // Without the secret, the one on record is kept.
    assert_eq!(registry.put(path, &source(None)).await.etag(), "\"1\"");
    let shown = registry.get(path).await.body.to_string() + &created.body.to_string();
    assert!(
        !shown.contains("whsec_") && !shown.contains("sealed"),
        "{shown}"
    );

    for record in bench.records().await {
        let value =
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        assert!(
            !value.contains("whsec_") && !value.contains("MfKQ9r8G"),
            "in clear on the log"
        );
    }
    assert_eq!(bench.open_secret("zapier", "a").await, WEBHOOK_SECRET);

    let rotated = source(Some("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
    assert_eq!(registry.put(path, &rotated).await.etag(), "\"2\"");
    registry.stop().await;
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let bench = Bench::new("registry_tenants").await;
    let registry = bench.start().await;
    registry.put("/v1/agents/triage", &agent(1_000)).await;
    let theirs = registry.of_tenant("globex");
    assert_eq!(
        theirs.get("/v1/agents/triage").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(theirs.get("/v1/agents").await.body["items"], json!([]));
    let taken = theirs.put("/v1/agents/triage", &agent(1_000)).await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert!(!taken.body.to_string().contains("acme"));
    let retired = theirs
        .send(Method::DELETE, "/v1/agents/triage", &[], None)
        .await;
    assert_eq!(retired.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.events().await.len(), 1);
    registry.stop().await;
}

#[tokio::test]
async fn one_writes_and_the_next_takes_over() {
    let bench = Bench::new("registry_leader").await;
    let first = bench.start().await;
    first.put("/v1/agents/triage", &agent(1_000)).await;

    let second = bench.start_unready().await;
    eventually(PATIENCE, || async {
        second.get("/v1/agents/triage").await.status.is_success()
    })
    .await
    .unwrap();
    assert!(!second.readiness.is_ready(), "two lead at once");
    let refused = second.put("/v1/agents/triage", &agent(2_000)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.header("retry-after").is_some());

    first.stop().await;
    tokio::time::timeout(PATIENCE, second.readiness.wait_ready())
        .await
        .unwrap();
    let changed = second.put("/v1/agents/triage", &agent(2_000)).await;
    assert_eq!((changed.status, changed.etag()), (StatusCode::OK, "\"2\""));
    second.stop().await;
}

#[tokio::test]
async fn it_steps_down_when_its_session_is_lost_and_comes_back() {
    let bench = Bench::new("registry_session").await;
    let registry = bench.start().await;
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let client = pool.get().await.unwrap();
    let ended = client
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND \
             database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(ended, 1);
    eventually(PATIENCE, || async { !registry.readiness.is_ready() })
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, registry.readiness.wait_ready())
        .await
        .unwrap();
    let created = registry.put("/v1/agents/triage", &agent(1_000)).await;
    assert_eq!(created.status, StatusCode::CREATED);
    registry.stop().await;
}

/// Somebody else writes to the topic at the same time, as a writer would that
/// lost its leadership without knowing. What was confirmed must be what every
/// reader folds at that version.
#[tokio::test]
async fn what_is_confirmed_is_what_readers_see() {
    let bench = Bench::new("registry_race").await;
    let registry = bench.start().await;
    let path = "/v1/agents/triage";
    let mut confirmed = Vec::new();
    for round in 0..40_u64 {
        let version = bench.next_version("triage").await;
        let wanted = 1_000 + round;
        let body = agent(wanted);
        let (answer, ()) = tokio::join!(
            registry.put(path, &body),
            bench.append_as_zombie("triage", version, 500_000 + round),
        );
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => {
                confirmed.push((
                    answer.etag().trim_matches('"').parse::<u64>().unwrap(),
                    wanted,
                ));
            }
            StatusCode::CONFLICT => {}
            other => panic!("{other}: {}", answer.body),
        }
    }
    let seen = bench.first_at_each_version("triage").await;
    for (version, wanted) in confirmed {
        assert_eq!(seen.get(&version), Some(&wanted), "version {version}");
    }
    registry.stop().await;
}
