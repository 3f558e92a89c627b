//! The gateway on real servers, spoken to over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bench::{Bench, OLD_SECRET, PATIENCE, SECRET, mac_of, now, sign, sign_github};
use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent, RefusalReason};
use domain_kernel::{CorrelationId, Recorded};
use domain_policy::PolicyEvent;
use futures::future::join_all;
use platform_http::reqwest::{Method, StatusCode};
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_testkit::eventually;
use projections_audit::AuditProjection;
use projections_deliveries::DeliveriesProjection;
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

/// The reasons of all refusals on the log.
async fn refusals(bench: &Bench) -> Vec<RefusalReason> {
    bench
        .deliveries()
        .await
        .into_iter()
        .filter_map(|recorded| match recorded.event {
            DeliveryEvent::Refused(refused) => Some(refused.reason),
            DeliveryEvent::Accepted(_) => None,
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
async fn failures_to_authenticate_look_alike_and_leave_only_a_refusal() {
    let bench = Bench::new("gateway_refuses").await;
    let gateway = bench.start().await;
    let good = sign(SECRET, "msg_1", now(), BODY);
    let altered = BODY.replace("ada", "eve");
    let answers = [
        gateway
            .post(
                "zapier",
                &[("content-type", "application/json")],
                BODY.as_bytes(),
            )
            .await,
        gateway.deliver_to("zapier", "msg_1", &altered, &good).await,
        gateway.deliver_to("zapier", "msg_2", BODY, &good).await,
        gateway
            .deliver_to(
                "zapier",
                "msg_1",
                BODY,
                &sign(OLD_SECRET, "msg_1", now(), BODY),
            )
            .await,
        gateway
            .deliver_to(
                "zapier",
                "msg_1",
                BODY,
                &sign(SECRET, "msg_1", now() - 301, BODY),
            )
            .await,
        gateway
            .deliver_to(
                "zapier",
                "msg_1",
                BODY,
                &sign(SECRET, "msg_1", now() + 310, BODY),
            )
            .await,
        gateway.deliver_to("nobody", "msg_1", BODY, &good).await,
        gateway
            .deliver_to("..%2Fzapier", "msg_1", BODY, &good)
            .await,
        gateway.deliver_to("%FF", "msg_1", BODY, &good).await,
    ];
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.problem(), "not-authentic");
        assert_eq!(answer.text, answers[0].text);
        let names = |answer: &bench::Answer| {
            let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(answer), names(&answers[0]));
    }
    eventually(PATIENCE, || async { refusals(&bench).await.len() == 6 })
        .await
        .unwrap();
    let stale = refusals(&bench)
        .await
        .into_iter()
        .filter(|reason| *reason == RefusalReason::StaleTimestamp)
        .count();
    assert_eq!(stale, 2);
    assert!(accepted(bench.deliveries().await).is_empty());
    assert!(bench.decisions().await.is_empty());
    // A forger who claimed the id first does not keep the real one out.
    let real = gateway.deliver("msg_1", BODY).await;
    assert_eq!(
        (real.status, real.is_replayed()),
        (StatusCode::ACCEPTED, false)
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_changes_nothing_and_says_why() {
    let bench = Bench::new("gateway_bad_input").await;
    let gateway = bench
        .start_with(|settings| settings.gateway.max_body_bytes = 1_000)
        .await;
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000));
    let typed = |content_type: &'static str, encoding: &'static str, body: &str| {
        let (timestamp, signature) = sign(SECRET, "bad", now(), body);
        let headers = [
            ("content-type", content_type.to_owned()),
            ("content-encoding", encoding.to_owned()),
            ("webhook-id", "bad".to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ];
        let body = body.to_owned();
        let gateway = &gateway;
        async move {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            gateway.post("zapier", &headers, body.as_bytes()).await
        }
    };
    let json = "application/json";
    for (answer, status, slug) in [
        (typed(json, "identity", &long).await, 413, "too-large"),
        (
            typed("text/plain", "identity", BODY).await,
            415,
            "unsupported-media-type",
        ),
        (
            typed(json, "gzip", BODY).await,
            415,
            "unsupported-media-type",
        ),
        (typed(json, "identity", "").await, 400, "not-json"),
        (typed(json, "identity", "{").await, 400, "not-json"),
        (
            typed(json, "identity", r#"{"tenant":"a","tenant":"b"}"#).await,
            400,
            "not-json",
        ),
        (typed(json, "identity", "\u{feff}{}").await, 400, "not-json"),
        (
            typed(json, "identity", &"[".repeat(900)).await,
            400,
            "not-json",
        ),
        (
            typed(json, "identity", r#"{"conflict":true}"#).await,
            503,
            "policy-unavailable",
        ),
    ] {
        assert_eq!(answer.status, status, "{slug}: {}", answer.text);
        assert_eq!(answer.problem(), slug);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = gateway
            .client
            .request(method, format!("{}/hooks/zapier", gateway.base))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "POST");
    }
    assert!(bench.deliveries().await.is_empty());
    // None of them took the id.
    assert!(!gateway.deliver("bad", BODY).await.is_replayed());
    // What is JSON is taken, whatever it is about.
    for (id, body) in [("a", "[]"), ("b", "null"), ("c", r#"{"__proto__":{}}"#)] {
        let answer = gateway.deliver(id, body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{body}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_answer_from_whoever_remembers() {
    let bench = Bench::new("gateway_repeats").await;
    let first = bench.start().await;
    let answer = first.deliver("msg_1", BODY).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let other = BODY.replace("ada", "eve");
    let is_repeat = |repeat: &bench::Answer| {
        repeat.status == StatusCode::ACCEPTED && repeat.is_replayed() && repeat.text == answer.text
    };

    // The gateway itself; a retry has the same id and a new timestamp.
    let later = sign(SECRET, "msg_1", now() + 2, BODY);
    assert!(is_repeat(
        &first.deliver_to("zapier", "msg_1", BODY, &later).await
    ));
    assert_eq!(first.deliver("msg_1", &other).await.problem(), "id-reused");

    // Another gateway, through Redis.
    let second = bench.start().await;
    let repeat = eventually(PATIENCE, || async {
        let repeat = second.deliver("msg_1", BODY).await;
        (repeat.status != StatusCode::CONFLICT).then_some(repeat)
    })
    .await
    .unwrap();
    assert!(is_repeat(&repeat), "{}", repeat.text);
    assert_eq!(second.deliver("msg_1", &other).await.problem(), "id-reused");

    // A third, with Redis emptied, and a fourth, with Redis away, from the read model.
    let projection = bench.follow(DeliveriesProjection::new(bench.schemas.clone()));
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let correlation = CorrelationId::of_delivery("zapier", "msg_1");
    eventually(PATIENCE, || async {
        matches!(
            projections_deliveries::accepted(&pool, correlation).await,
            Ok(Some(_))
        )
    })
    .await
    .unwrap();
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let names = redis.scan("").await.unwrap();
    assert!(redis.delete(&names).await.unwrap() > 0);
    let third = bench.start().await;
    assert_eq!(third.deliver("msg_1", &other).await.problem(), "id-reused");
    assert!(is_repeat(&third.deliver("msg_1", BODY).await));
    let fourth = bench
        .start_with(|settings| settings.redis.url = "redis://127.0.0.1:1".to_owned())
        .await;
    let repeat = fourth.deliver("msg_1", BODY).await;
    assert!(is_repeat(&repeat), "{} {}", repeat.status, repeat.text);
    let fresh = fourth.deliver("msg_2", BODY).await;
    assert_eq!(
        (fresh.status, fresh.is_replayed()),
        (StatusCode::ACCEPTED, false)
    );

    assert_eq!(accepted(bench.deliveries().await).len(), 2);
    projection.cancel();
    for gateway in [first, second, third, fourth] {
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_at_once_one_is_first() {
    let bench = Bench::new("gateway_hundred").await;
    let gateways = [bench.start().await, bench.start().await];
    let signed = sign(SECRET, "msg_1", now(), BODY);
    let answers =
        join_all((0..100).map(|n| gateways[n % 2].deliver_to("zapier", "msg_1", BODY, &signed)))
            .await;
    let mut first = 0;
    for answer in &answers {
        match (answer.status, answer.is_replayed()) {
            (StatusCode::ACCEPTED, replayed) => first += usize::from(!replayed),
            (StatusCode::CONFLICT, _) => {
                assert_eq!(answer.problem(), "in-flight");
                assert!(answer.headers.contains_key("retry-after"));
            }
            other => panic!("{other:?}: {}", answer.text),
        }
    }
    assert_eq!(first, 1);
    assert_eq!(accepted(bench.deliveries().await).len(), 1);
    for gateway in gateways {
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_keeps_out_and_says_so_on_the_log() {
    let bench = Bench::new("gateway_denies").await;
    let gateway = bench.start().await;
    let evil = r#"{"event_type":"t","subject":"evil"}"#;
    let denied = gateway.deliver("msg_1", evil).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert_eq!(denied.problem(), "policy-denied");
    let decisions = bench.decisions().await;
    let PolicyEvent::Decided(decided) = &decisions[0].event;
    assert!(!decided.allow);
    assert_eq!(decided.reasons, ["nothing evil"]);
    assert_eq!(
        denied.json()["decision_id"],
        decided.decision_id.to_string()
    );
    assert!(
        !denied.text.contains("nothing evil"),
        "reasons are for the auditor"
    );
    assert_eq!(refusals(&bench).await, [RefusalReason::PolicyDenied]);

    // A tenant without policies lets nothing in.
    let signed = sign(SECRET, "msg_2", now(), BODY);
    let undefined = gateway.deliver_to("lonely", "msg_2", BODY, &signed).await;
    assert_eq!(undefined.status, StatusCode::FORBIDDEN);

    // It was not remembered as seen: the same id may come in with a better body.
    let better = gateway.deliver("msg_1", BODY).await;
    assert_eq!(
        (better.status, better.is_replayed()),
        (StatusCode::ACCEPTED, false)
    );
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

/// The one answer that tells a stranger that a source exists: honest senders
/// are not to take our fault for theirs.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_fault_may_be_ours_a_sender_is_told_to_come_again() {
    let bench = Bench::new("gateway_unusable").await;
    // Sealed for another source, this one's secret cannot be opened.
    let sealed = bench.source("elsewhere", "standard-webhooks", &[("key", SECRET, None)]);
    bench.register("acme", "sealed", sealed).await;
    let gateway = bench.start().await;
    let good = sign(SECRET, "msg_1", now(), BODY);
    let forged = (now(), "v1,AAAA".to_owned());
    let uri = [
        ("content-type", "application/json"),
        ("x-hubspot-request-timestamp", "1"),
        ("x-hubspot-signature-v3", "AAAA"),
    ];
    for answer in [
        gateway.deliver_to("sealed", "msg_1", BODY, &good).await,
        gateway.deliver_to("sealed", "msg_1", BODY, &forged).await,
        // It signs the public address, which is not set.
        gateway.post("hubspot-v3", &uri, BODY.as_bytes()).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem(), "unavailable");
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert!(bench.deliveries().await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_last_week_is_a_repeat_though_redis_was_flushed() {
    const AGE: &str =
        "UPDATE deliveries.accepted SET recorded_at = recorded_at - interval '8 days'";
    const FORGET: &str = "DELETE FROM deliveries.accepted";
    let bench = Bench::new("gateway_old_repeat").await;
    let first = bench.start().await;
    let answer = first.deliver("msg_1", BODY).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    first.stop().await;
    let projection = bench.follow(DeliveriesProjection::new(bench.schemas.clone()));
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let client = pool.get().await.unwrap();
    eventually(PATIENCE, || async {
        matches!(client.execute(AGE, &[]).await, Ok(1)).then_some(())
    })
    .await
    .unwrap();
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let flush = || async {
        let names = redis.scan("").await.unwrap();
        redis.delete(&names).await.unwrap();
    };
    flush().await;
    let second = bench.start().await;
    let repeat = second.deliver("msg_1", BODY).await;
    assert!(repeat.is_replayed(), "{} {}", repeat.status, repeat.text);
    assert_eq!(repeat.text, answer.text);
    let other = BODY.replace("ada", "eve");
    assert_eq!(second.deliver("msg_1", &other).await.problem(), "id-reused");
    assert_eq!(accepted(bench.deliveries().await).len(), 1);
    second.stop().await;

    // It was that row, and nothing else, that knew.
    assert_eq!(client.execute(FORGET, &[]).await.unwrap(), 1);
    flush().await;
    let third = bench.start().await;
    assert!(!third.deliver("msg_1", BODY).await.is_replayed());
    projection.cancel();
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_tell_a_repeat_nothing_is_taken() {
    let bench = Bench::new("gateway_stores_away").await;
    let gateway = bench
        .start_with(|settings| {
            settings.redis.url = "redis://127.0.0.1:1".to_owned();
            settings.postgres.url = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
        })
        .await;
    // More than it takes to open the circuits: what is not asked is not known either.
    for number in 0..12 {
        let answer = gateway.deliver(&format!("msg_{number}"), BODY).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1", "{}", answer.text);
    }
    let told = gateway.get("/v1/status").await.json();
    for circuit in ["idempotency-redis", "idempotency-postgres"] {
        assert_eq!(told["circuits"][circuit], "open");
    }
    assert_eq!(bench.deliveries().await, []);
    gateway.stop().await;
}
