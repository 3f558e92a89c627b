//! A part of a batch has no signature of its own: it is proven with the others,
//! or by its digest, which is not called proven.

use super::*;

const LINES: &str = "application/json";
const EVENTS: &str = "application/cloudevents+json";

/// The parts of a batch as the gateway records them: its signature is over `whole`.
fn batch(
    batch_id: &str,
    whole: &str,
    content_type: &str,
    parts: &[(&str, &str)],
) -> Vec<DeliveryAccepted> {
    let signature = v1(OLD, batch_id, whole.as_bytes());
    let mut headers = standard_headers(batch_id, &signature);
    headers.push(("mesh-batch-sha256".to_owned(), sha256(whole.as_bytes())));
    let part = |(id, body): &(&str, &str)| DeliveryAccepted {
        content_type: content_type.to_owned(),
        signed_headers: headers.clone(),
        ..stored("zapier", "standard-webhooks", id, body.as_bytes().to_vec())
    };
    parts.iter().map(part).collect()
}

async fn mesh(name: &str) -> Mesh {
    let mesh = Mesh::new(name).await;
    let zapier = source(&mesh, "zapier", "standard-webhooks", &[("2025", OLD)]);
    define(&mesh, "zapier", 1, zapier).await;
    mesh
}

fn altered(mut delivery: DeliveryAccepted, body: &str) -> DeliveryAccepted {
    delivery.body = body.as_bytes().to_vec();
    delivery.body_sha256 = sha256(&delivery.body);
    delivery
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_can_be_put_together_is_proven_by_its_signature() {
    let mesh = mesh("verify_batch").await;
    let event =
        |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/a","type":"t"}}"#);
    let (one, two) = (event("1"), event("2"));
    let events = [("/a#1", one.as_str()), ("/a#2", two.as_str())];
    for parts in [
        batch(
            "b1",
            "{\"n\":1}\n{\"n\":2}",
            LINES,
            &[("b1/1", "{\"n\":1}"), ("b1/2", "{\"n\":2}")],
        ),
        // Empty lines count, and are no deliveries.
        batch(
            "b2",
            "{\"n\":1}\r\n\r\n{\"n\":3}\r\n",
            LINES,
            &[("b2/1", "{\"n\":1}"), ("b2/3", "{\"n\":3}")],
        ),
        batch("b3", "{\"n\":1}\n", LINES, &[("b3", "{\"n\":1}")]),
        batch("b4/7", "{\"n\":7}", LINES, &[("b4/7", "{\"n\":7}")]),
        batch("b5", &format!("[{one}, {two}]\n"), EVENTS, &events),
    ] {
        append(&mesh, parts).await;
    }
    // What the gateway appended again is the same record twice.
    append(
        &mesh,
        batch("b3", "{\"n\":1}\n", LINES, &[("b3", "{\"n\":1}")]),
    )
    .await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 9,
        proven: 9,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_lost_a_part_is_proven_by_digest_only_and_says_so() {
    let mesh = mesh("verify_parts").await;
    let three = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}";
    let parts = [("b1/1", "{\"n\":1}"), ("b1/3", "{\"n\":3}")];
    append(&mesh, batch("b1", three, LINES, &parts)).await;
    // One that was altered cannot be told from one that was turned away.
    let parts = [
        ("b2/1", "{\"n\":1}"),
        ("b2/2", "{\"n\":2}"),
        ("b2/3", "{\"n\":4}"),
    ];
    append(&mesh, batch("b2", three, LINES, &parts)).await;
    append(&mesh, [standard(0, "2025", OLD)]).await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 6,
        proven: 1,
        batch_parts: 5,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");
    assert_eq!(
        found.to_string(),
        "6 deliveries: 1 of 6 proven by their signature, 5 by digest only (parts of batches), \
         0 unsigned with the right digest, 0 failed"
    );
    assert_eq!(serde_json::to_value(&found).unwrap()["batch_parts"], 5);
}

/// A delivery that is made to look like a part of a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_does_not_become_a_part_of_a_batch_unnoticed() {
    let mesh = mesh("verify_no_part").await;
    let with_digest = |n: usize, body: &str, digest: &str| {
        let mut delivery = altered(standard(n, "2025", OLD), body);
        let header = ("mesh-batch-sha256".to_owned(), digest.to_owned());
        delivery.signed_headers.push(header);
        delivery
    };
    let evil = r#"{"text":"pay twice"}"#;
    let version = DeliveryAccepted {
        source_version: Some(1),
        ..with_digest(3, evil, &sha256(evil.as_bytes()))
    };
    let event = r#"{"specversion":"1.0","id":"1","source":"/a","type":"t"}"#;
    let cloud_event = DeliveryAccepted {
        content_type: EVENTS.to_owned(),
        ..with_digest(4, event, &sha256(b"[]"))
    };
    let other_key = DeliveryAccepted {
        key_id: Some("2024".to_owned()),
        ..with_digest(6, evil, &sha256(b"any"))
    };
    // A whole that matches its digest needs the signature that goes with it.
    let lines = "{\"n\":1}\n{\"n\":2}";
    let signed = [("b1/1", "{\"n\":1}"), ("b1/2", "{\"n\":2}")];
    let mut rewritten = batch("b1", lines, LINES, &signed);
    let evil_lines = "{\"n\":1}\n{\"n\":9}";
    rewritten[1] = altered(rewritten[1].clone(), "{\"n\":9}");
    for part in &mut rewritten {
        part.signed_headers[3].1 = sha256(evil_lines.as_bytes());
    }
    // Of two bodies for one event, the second is wrong.
    let mut twice = batch(
        "b2",
        lines,
        LINES,
        &[("b2/1", "{\"n\":1}"), ("b2/2", "{\"n\":2}")],
    );
    twice.push(altered(twice[1].clone(), "{\"n\":8}"));
    // One line of a batch is not that of another id.
    let strayed = batch("b3", "{\"n\":1}", LINES, &[("b9", "{\"n\":1}")]);

    append(
        &mesh,
        [
            with_digest(1, evil, &sha256(evil.as_bytes())),
            with_digest(2, evil, &sha256(b"any")),
            version,
            cloud_event,
            with_digest(5, "{\n}", &sha256(b"{\n}")),
            other_key,
            with_digest(7, evil, "any"),
        ],
    )
    .await;
    append(&mesh, rewritten).await;
    append(&mesh, twice).await;
    append(&mesh, strayed).await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 13,
        proven: 2,
        failed: 11,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");
    for (id, why) in [
        ("msg_1", "does not stand for"),
        ("msg_2", "the batch's digest is not over it"),
        ("msg_3", "recorded of single deliveries only"),
        ("msg_4", "has another id"),
        ("msg_5", "not one line"),
        ("msg_6", "has this key"),
        ("msg_7", "the batch digest is none"),
        ("b1/1", "does not stand for"),
        ("b1/2", "does not stand for"),
        ("b2/2", "another body"),
        ("b9", "the delivery id is b3"),
    ] {
        let correlation = CorrelationId::of_delivery("zapier", id).to_string();
        let failure = failures
            .iter()
            .find(|failure| failure.correlation_id.as_ref() == Some(&correlation));
        let reason = failure.map(|failure| failure.reason.as_str());
        assert!(
            reason.is_some_and(|reason| reason.contains(why)),
            "{id}: {reason:?}"
        );
    }
}
