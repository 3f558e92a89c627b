//! What is not taken in: what is not authentic, bad input, what policy keeps
//! out, and where the fault may be ours.

use domain_delivery::{DeliveryEvent, RefusalReason};
use domain_policy::PolicyEvent;
use platform_http::reqwest::{Method, StatusCode};
use platform_testkit::eventually;

use crate::bench::{Answer, Bench, OLD_SECRET, PATIENCE, SECRET, now, sign};
use crate::{BODY, accepted};

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
        let names = |answer: &Answer| {
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
