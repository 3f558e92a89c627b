//! A record that says of itself that it needs no signature is not believed.

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

fn reasons(failures: &[Failure]) -> Vec<(String, String)> {
    failures
        .iter()
        .map(|failure| {
            let correlation = failure.correlation_id.clone().unwrap();
            (correlation, failure.reason.clone())
        })
        .collect()
}

/// Whether the one delivery failed, for a reason that says so.
fn named(failures: &[Failure], source_id: &str, delivery_id: &str, why: &str) -> bool {
    let correlation = CorrelationId::of_delivery(source_id, delivery_id).to_string();
    reasons(failures)
        .iter()
        .any(|(failed, reason)| *failed == correlation && reason.contains(why))
}

fn rewritten(n: usize) -> DeliveryAccepted {
    let mut delivery = standard(n, "2025", OLD);
    delivery.body = format!(r#"{{"n":{n},"text":"pay twice"}}"#).into_bytes();
    delivery.body_sha256 = sha256(&delivery.body);
    delivery
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_signing_source_sent_is_never_unsigned() {
    let mesh = Mesh::new("verify_auth").await;
    for (id, scheme) in [("zapier", "standard-webhooks"), ("airflow", "bearer")] {
        define(&mesh, id, 1, source(&mesh, id, scheme, &[("2025", OLD)])).await;
    }
    let let_in = |source_id: &str, id: &str| DeliveryAccepted {
        auth: AuthMethod::Bearer,
        source_version: Some(1),
        ..stored(source_id, "bearer", id, b"{}".to_vec())
    };
    let by_token = DeliveryAccepted {
        auth: AuthMethod::Bearer,
        source_version: Some(1),
        ..rewritten(1)
    };
    let by_certificate = DeliveryAccepted {
        auth: AuthMethod::Mtls,
        ..rewritten(2)
    };
    let other_scheme = DeliveryAccepted {
        auth: AuthMethod::Bearer,
        scheme: "bearer".to_owned(),
        source_version: Some(1),
        ..rewritten(3)
    };
    // Even what was not altered is not as it was recorded.
    let only_the_method = DeliveryAccepted {
        auth: AuthMethod::Bearer,
        ..standard(4, "2025", OLD)
    };
    let no_version = DeliveryAccepted {
        source_version: Some(9),
        ..standard(5, "2025", OLD)
    };
    let no_source = let_in("nobody", "run-1");
    let other_method = DeliveryAccepted {
        auth: AuthMethod::Mtls,
        ..let_in("airflow", "run-2")
    };
    let other_key = DeliveryAccepted {
        key_id: Some("2024".to_owned()),
        ..let_in("airflow", "run-3")
    };
    append(
        &mesh,
        [
            standard(0, "2025", OLD),
            let_in("airflow", "run-1"),
            by_token,
            by_certificate,
            other_scheme,
            only_the_method,
            no_version,
            no_source,
            other_method,
            other_key,
        ],
    )
    .await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 10,
        proven: 1,
        unsigned: 1,
        failed: 8,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");
    for (source_id, delivery_id, why) in [
        ("zapier", "msg_1", "let in by bearer"),
        ("zapier", "msg_2", "let in by mtls"),
        ("zapier", "msg_3", "under scheme bearer"),
        ("zapier", "msg_4", "let in by bearer"),
        ("zapier", "msg_5", "in this version"),
        ("nobody", "run-1", "no such source"),
        ("airflow", "run-2", "let in by mtls"),
        ("airflow", "run-3", "has this key"),
    ] {
        assert!(
            named(&failures, source_id, delivery_id, why),
            "{delivery_id}: {failures:#?}"
        );
    }
}

/// Nobody goes back to the time before a source began to sign.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_once_was_unsigned_is_held_to_its_signature_since() {
    const HOUR: i64 = 60 * 60 * 1_000;
    let mesh = Mesh::new("verify_changed").await;
    for (version, scheme) in [(1, "bearer"), (2, "standard-webhooks")] {
        let changed = source(&mesh, "zapier", scheme, &[("2025", OLD)]);
        define(&mesh, "zapier", version, changed).await;
    }
    let let_in = |id: &str, source_version, later: i64| {
        let mut event = event(DeliveryAccepted {
            auth: AuthMethod::Bearer,
            source_version,
            ..stored("zapier", "bearer", id, b"{}".to_vec())
        });
        event.meta.at = event.meta.at.plus_millis(later);
        mesh.record::<Deliveries>(&event)
    };
    mesh.append(vec![
        // A gateway may hear of the change a little later.
        let_in("msg_1", Some(1), 0),
        let_in("msg_2", None, 0),
        let_in("msg_3", Some(1), 5_000),
        let_in("msg_4", Some(1), HOUR),
        let_in("msg_5", None, HOUR),
        // Nor did it exist an hour before it was registered.
        let_in("msg_6", Some(1), -HOUR),
        let_in("msg_7", Some(2), 0),
    ])
    .await;
    append(&mesh, [standard(8, "2025", OLD)]).await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 8,
        proven: 1,
        unsigned: 3,
        failed: 4,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");
    for id in ["msg_4", "msg_5", "msg_6"] {
        assert!(
            named(&failures, "zapier", id, "at that time"),
            "{failures:#?}"
        );
    }
    assert!(
        named(&failures, "zapier", "msg_7", "under scheme bearer"),
        "{failures:#?}"
    );
}

/// Two secrets that are valid at once, and a public key.
#[tokio::test(flavor = "multi_thread")]
async fn either_of_two_keys_and_a_public_key_prove_what_they_signed() {
    let mesh = Mesh::new("verify_keys").await;
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    let keys = [("2025", OLD), ("2026", NEW), ("svix", public.as_str())];
    let rotating = source(&mesh, "zapier", "standard-webhooks", &keys);
    define(&mesh, "zapier", 1, rotating).await;

    let v1a = |id: &str, body: &[u8]| {
        let signed = [id.as_bytes(), b".1700000000.", body].concat();
        format!("v1a,{}", STANDARD.encode(pair.sign(&signed)))
    };
    let under = |n: usize, key_id: &str, sign: &dyn Fn(&str, &[u8]) -> String| {
        let delivery = standard(n, key_id, OLD);
        let signature = sign(&delivery.delivery_id, &delivery.body);
        DeliveryAccepted {
            signed_headers: standard_headers(&delivery.delivery_id, &signature),
            source_version: Some(1),
            ..delivery
        }
    };
    let both = |id: &str, body: &[u8]| format!("{} {}", v1(NEW, id, body), v1(OLD, id, body));
    let by_public_key = |n: usize| DeliveryAccepted {
        auth: AuthMethod::Ed25519,
        ..under(n, "svix", &v1a)
    };
    let mut altered = by_public_key(6);
    altered.body[9] ^= 1;
    altered.body_sha256 = sha256(&altered.body);
    append(
        &mesh,
        [
            under(1, "2025", &|id, body| v1(OLD, id, body)),
            under(2, "2026", &|id, body| v1(NEW, id, body)),
            under(3, "2025", &both),
            under(4, "2026", &both),
            by_public_key(5),
            altered,
            // By one key, and recorded as by the other.
            under(7, "2026", &|id, body| v1(OLD, id, body)),
            DeliveryAccepted {
                auth: AuthMethod::HmacSha256,
                ..by_public_key(8)
            },
        ],
    )
    .await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 8,
        proven: 5,
        failed: 3,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");
    for (id, why) in [
        ("msg_6", "does not stand for"),
        ("msg_7", "does not stand for"),
        ("msg_8", "the method is ed25519"),
    ] {
        assert!(named(&failures, "zapier", id, why), "{id}: {failures:#?}");
    }
}
