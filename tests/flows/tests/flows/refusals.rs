use std::collections::BTreeSet;

use platform_testkit::eventually;
use serde_json::Value;
use tests_kit::{Observer, PATIENCE, Sender, Ticket, names, of_name};

use crate::shared_mesh;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_authentic_gets_one_answer_and_leaves_only_a_refusal() {
    const DOUBTED: &str = "doubted";
    let mesh = shared_mesh().await;
    mesh.registrar().unwrap().source(DOUBTED).await.unwrap();
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();
    // The gateway knows the source from here on.
    let good = Ticket::new("DOUBT-0").from_source(DOUBTED);
    sender.deliver(&good).await.unwrap();
    let refused_before = refusals(&observer, DOUBTED).await.len();

    let now = Sender::now().unwrap();
    let ticket = Ticket::new("DOUBT-1").from_source(DOUBTED);
    let (id, body) = (&ticket.delivery_id, ticket.body());
    let signature = Sender::sign(id, now, &body).unwrap();

    let of_another = Sender::sign("msg_another", now, &body).unwrap();
    let bad_signature = sender
        .post_raw(&ticket, now, &of_another, body.clone())
        .await
        .unwrap();
    let stale = now - 301;
    let stale_signature = Sender::sign(id, stale, &body).unwrap();
    let stale_timestamp = sender.post_raw(&ticket, stale, &stale_signature, body.clone());
    let stale_timestamp = stale_timestamp.await.unwrap();
    let mut altered = body.clone();
    let digit = altered.iter().rposition(u8::is_ascii_digit).unwrap();
    altered[digit] = if altered[digit] == b'9' { b'8' } else { b'9' };
    let altered_body = sender
        .post_raw(&ticket, now, &signature, altered)
        .await
        .unwrap();
    let nobody = Ticket::new("DOUBT-2").from_source("nobody-registered-this");
    let unknown_source = sender.post(&nobody).await.unwrap();

    assert_eq!(bad_signature.status, 401);
    assert!(
        bad_signature
            .content_type
            .starts_with("application/problem+json")
    );
    let problem = bad_signature.json().unwrap();
    assert_eq!(problem["status"], 401);
    for other in [&stale_timestamp, &altered_body, &unknown_source] {
        assert_eq!(*other, bad_signature);
    }

    // Refusals are recorded behind the answer.
    let known = eventually(PATIENCE, || async {
        let refused = refusals(&observer, DOUBTED).await;
        (refused.len() >= refused_before + 3).then_some(refused)
    });
    known.await.unwrap();
    // What was refused is not remembered as seen: the true delivery is taken.
    sender.deliver(&ticket).await.unwrap();
    let trail = observer
        .recorded(ticket.correlation(), "WorkflowSucceeded")
        .await
        .unwrap();
    assert_eq!(of_name(&trail, "DeliveryAccepted").len(), 1);

    let refused = refusals(&observer, DOUBTED).await;
    assert_eq!(refused.len(), refused_before + 3);
    let reasons: BTreeSet<_> = refused[refused_before..]
        .iter()
        .map(|(reason, _)| reason.as_str())
        .collect();
    assert!(reasons.len() >= 2, "{reasons:?}");
    // Beside its refusal, nothing names what was refused.
    let refused_as: BTreeSet<_> = refused.iter().map(|(_, of)| of.clone()).collect();
    for topic in [
        "mesh.decisions",
        "mesh.contexts",
        "mesh.workflows",
        "mesh.effects",
    ] {
        for record in observer.topic(topic).await.unwrap() {
            let correlation = record.header("mesh-correlation").unwrap().to_owned();
            let known = [good.correlation(), ticket.correlation()].map(|id| id.to_string());
            assert!(
                !refused_as.contains(&correlation) || known.contains(&correlation),
                "{topic} tells of a refused delivery"
            );
        }
    }
    assert!(refusals(&observer, &nobody.source).await.is_empty());
    for topic in ["mesh.deliveries", "mesh.decisions"] {
        for record in observer.topic(topic).await.unwrap() {
            let value = record.value.unwrap_or_default();
            let name = nobody.source.as_bytes();
            assert!(!value.windows(name.len()).any(|part| part == name));
        }
    }
    assert!(
        observer
            .trail(nobody.correlation())
            .await
            .unwrap()
            .is_empty()
    );
}

/// Reason and correlation of every refusal of a source, by the read model.
async fn refusals(observer: &Observer, source: &str) -> Vec<(String, String)> {
    let query = "SELECT reason, correlation::text FROM deliveries.refused \
                 WHERE source_id = $1 ORDER BY recorded_at";
    let rows = observer.rows(query, &[&source]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_denies_is_refused_with_its_decision() {
    let mesh = shared_mesh().await;
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();
    sender.deliver(&Ticket::new("DENY-0")).await.unwrap();
    let ticket = Ticket::new("DENY-1").of_kind("billing.export.requested");

    let answer = sender.post(&ticket).await.unwrap();
    assert_eq!(
        answer.status,
        403,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert!(answer.content_type.starts_with("application/problem+json"));
    let problem: Value = answer.json().unwrap();
    let decision_id = problem["decision_id"].as_str().unwrap();

    // What is sent after it is through, and it has led to nothing more.
    let later = Ticket::new("DENY-2");
    sender.deliver(&later).await.unwrap();
    observer
        .recorded(later.correlation(), "WorkflowSucceeded")
        .await
        .unwrap();
    let trail = observer
        .recorded(ticket.correlation(), "DeliveryRefused")
        .await
        .unwrap();
    assert_eq!(names(&trail), ["PolicyDecided", "DeliveryRefused"]);
    let decided = &trail[0].body;
    assert_eq!(decided["decision_id"], decision_id);
    assert_eq!(decided["allow"], false);
    let reasons = decided["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].as_str().unwrap().contains("event type"));
    let on_log = observer
        .on_log("mesh.contexts", ticket.correlation())
        .await
        .unwrap();
    assert!(on_log.is_empty());
}
