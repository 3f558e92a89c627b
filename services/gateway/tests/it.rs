//! The gateway on real servers, spoken to over HTTP: what it takes in, and how
//! far that has come.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/repeats.rs"]
mod repeats;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bench::{Bench, OLD_SECRET, PATIENCE, SECRET, mac_of, now, sign, sign_github};
use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent};
use domain_kernel::{CorrelationId, Recorded};
use domain_policy::PolicyEvent;
use platform_http::reqwest::StatusCode;
use platform_testkit::eventually;
use projections_audit::AuditProjection;
use serde_json::{Value, json};

const BODY: &str = r#"{"event_type":"ticket.created","subject":"ada"}"#;

fn accepted(events: Vec<Recorded<DeliveryEvent>>) -> Vec<Recorded<DeliveryAccepted>> {
    events
        .into_iter()
        .filter_map(|recorded| match recorded.event.clone() {
            DeliveryEvent::Accepted(accepted) => Some(recorded.map(|_| accepted)),
            DeliveryEvent::Refused(_) => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_with_202_stands_on_the_log() {
    let bench = Bench::new("gateway_accepts").await;
    let gateway = bench.start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (timestamp, signature) = sign(SECRET, "msg_1", now(), BODY);
    let answer = gateway
        .post(
            "zapier",
            &[
                ("content-type", "application/json; charset=utf-8"),
                ("svix-id", "msg_1"),
                ("svix-timestamp", &timestamp.to_string()),
                ("svix-signature", &format!("v9,x v1,AAAA {signature}")),
                ("traceparent", trace),
            ],
            BODY.as_bytes(),
        )
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert!(!answer.is_replayed());
    let correlation = CorrelationId::of_delivery("zapier", "msg_1");
    assert_eq!(
        answer.json(),
        json!({
            "correlation_id": correlation,
            "delivery_id": "msg_1",
            "status_url": format!("/v1/deliveries/{correlation}"),
        })
    );

    let delivered = accepted(bench.deliveries().await);
    assert_eq!(delivered.len(), 1);
    let Recorded { meta, event } = &delivered[0];
    assert_eq!(meta.stream, correlation.to_string());
    assert_eq!((meta.version, meta.tenant.as_str()), (1, "acme"));
    assert_eq!(meta.traceparent.as_deref(), Some(trace));
    assert_eq!(event.body, BODY.as_bytes());
    assert_eq!(event.key_id.as_deref(), Some("new"));
    assert_eq!(event.auth, AuthMethod::HmacSha256);
    assert_eq!(event.event_type, "ticket.created");
    assert_eq!(event.subject.as_deref(), Some("ada"));
    assert_eq!(event.signed_headers.len(), 3);

    let decisions = bench.decisions().await;
    assert_eq!(decisions.len(), 1);
    let PolicyEvent::Decided(decided) = &decisions[0].event;
    assert!(decided.allow);
    assert_eq!(decided.check(), Ok(()));
    assert_eq!(meta.causation, Some(decisions[0].meta.id));
    let input: Value = serde_json::from_str(decided.input.as_str()).unwrap();
    assert_eq!(input["body"], serde_json::from_str::<Value>(BODY).unwrap());
    assert_eq!(input["body_bytes"], BODY.len());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_recognised_by_body_and_event() {
    let bench = Bench::new("gateway_github").await;
    let gateway = bench.start().await;
    let signature = sign_github(BODY);
    let mut replayed = Vec::new();
    for (event, delivery) in [("push", "one"), ("push", "two"), ("issues", "one")] {
        let answer = gateway
            .post(
                "github",
                &[
                    ("content-type", "application/json"),
                    ("x-hub-signature-256", &signature),
                    ("x-github-event", event),
                    ("x-github-delivery", delivery),
                ],
                BODY.as_bytes(),
            )
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        replayed.push(answer.is_replayed());
    }
    assert_eq!(replayed, [false, true, false]);
    assert_eq!(accepted(bench.deliveries().await).len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_answered_its_challenge_and_recognised_by_the_event_id() {
    let bench = Bench::new("gateway_slack").await;
    let gateway = bench.start().await;
    let mut answers = Vec::new();
    for body in [
        r#"{"type":"url_verification","challenge":"c-1"}"#,
        r#"{"event_id":"Ev1","event_type":"message","n":1}"#,
        r#"{"event_id":"Ev1","event_type":"message","n":1}"#,
    ] {
        let timestamp = now().to_string();
        let signature = hex::encode(mac_of(&format!("v0:{timestamp}:{body}")));
        let answer = gateway
            .post(
                "slack",
                &[
                    ("content-type", "application/json"),
                    ("x-slack-request-timestamp", &timestamp),
                    ("x-slack-signature", &format!("v0={signature}")),
                ],
                body.as_bytes(),
            )
            .await;
        answers.push((answer.status, answer.is_replayed(), answer.text));
    }
    assert_eq!(answers[0], (StatusCode::OK, false, "c-1".to_owned()));
    assert_eq!((answers[1].0, answers[1].1), (StatusCode::ACCEPTED, false));
    assert_eq!((answers[2].0, answers[2].1), (StatusCode::ACCEPTED, true));
    let deliveries = accepted(bench.deliveries().await);
    let ids: Vec<_> = deliveries
        .iter()
        .map(|d| d.event.delivery_id.as_str())
        .collect();
    assert_eq!(ids, ["Ev1"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hubspot_signs_the_public_uri() {
    let mut bench = Bench::new("gateway_hubspot").await;
    bench.settings.gateway.public_url = Some("https://mesh.example".to_owned());
    let gateway = bench.start().await;
    for (uri, expected) in [
        (
            "https://mesh.example/hooks/hubspot-v3",
            StatusCode::ACCEPTED,
        ),
        (
            "https://other.example/hooks/hubspot-v3",
            StatusCode::UNAUTHORIZED,
        ),
    ] {
        let millis = (now() * 1_000).to_string();
        let signature = STANDARD.encode(mac_of(&format!("POST{uri}{BODY}{millis}")));
        let answer = gateway
            .post(
                "hubspot-v3",
                &[
                    ("content-type", "application/json"),
                    ("x-hubspot-request-timestamp", &millis),
                    ("x-hubspot-signature-v3", &signature),
                ],
                BODY.as_bytes(),
            )
            .await;
        assert_eq!(answer.status, expected, "{}", answer.text);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_by_correlation() {
    let bench = Bench::new("gateway_progress").await;
    let gateway = bench.start().await;
    let answer = gateway.deliver("msg_1", BODY).await;
    let url = answer.json()["status_url"].as_str().unwrap().to_owned();
    // Postgres has no read model yet; what is unknown is not denied but unavailable.
    assert_eq!(
        gateway.get(&url).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );

    let projection = bench.follow(AuditProjection::new(bench.schemas.clone()));
    let progress = eventually(PATIENCE, || async {
        let answer = gateway.get(&url).await;
        let progress = (answer.status == StatusCode::OK).then(|| answer.json())?;
        (progress["stages"].as_array()?.len() == 2).then_some(progress)
    })
    .await
    .unwrap();
    assert_eq!(progress["status"], "accepted");
    assert_eq!(progress["stages"][0]["event"], "PolicyDecided");
    assert_eq!(progress["stages"][1]["event"], "DeliveryAccepted");
    for unknown in [
        "/v1/deliveries/none",
        "/v1/deliveries/2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d",
    ] {
        assert_eq!(gateway.get(unknown).await.problem(), "not-found");
    }
    let described = gateway.get("/openapi.json").await.json();
    assert!(described["paths"]["/hooks/{source_id}"].is_object());
    projection.cancel();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_keys_of_a_source_counts_and_is_named() {
    /// RFC 8032, 7.1, test 1; the signature was made by another program.
    const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    const SIGNED: (i64, &str) = (
        1_790_000_000,
        "v1a,xc40Xu204SGFa7DkWuoBJvlVpbT35X5x5IP00dCTOQiMKVnc+/TcRGuTwKkkltV9Auu/MPKMxxCV1z/CKXr4AA==",
    );
    let bench = Bench::new("gateway_keys").await;
    let secrets = [
        ("one", SECRET, None),
        ("two", OLD_SECRET, None),
        ("public", PUBLIC, None),
    ];
    let source = bench.source("rotating", "standard-webhooks", &secrets);
    bench.register("acme", "rotating", source).await;
    let gateway = bench
        .start_with(|settings| settings.gateway.timestamp_tolerance_s = 1 << 32)
        .await;
    let ed25519 = (SIGNED.0, SIGNED.1.to_owned());
    let altered = gateway.deliver_to("rotating", "msg_ed25519", "{}", &ed25519);
    assert_eq!(altered.await.status, StatusCode::UNAUTHORIZED);
    for (id, signed) in [
        ("msg_one", sign(SECRET, "msg_one", now(), BODY)),
        ("msg_two", sign(OLD_SECRET, "msg_two", now(), BODY)),
        ("msg_ed25519", ed25519),
    ] {
        let answer = gateway.deliver_to("rotating", id, BODY, &signed).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{id}: {}", answer.text);
        assert!(!answer.is_replayed());
    }
    let mut named: Vec<_> = accepted(bench.deliveries().await)
        .into_iter()
        .map(|recorded| recorded.event)
        .map(|event| (event.delivery_id, event.key_id.unwrap(), event.auth))
        .collect();
    named.sort_by(|one, other| one.0.cmp(&other.0));
    let of = |id: &str, key: &str, auth| (id.to_owned(), key.to_owned(), auth);
    assert_eq!(
        named,
        [
            of("msg_ed25519", "public", AuthMethod::Ed25519),
            of("msg_one", "one", AuthMethod::HmacSha256),
            of("msg_two", "two", AuthMethod::HmacSha256),
        ]
    );
    gateway.stop().await;
}
