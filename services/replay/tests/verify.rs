//! Deliveries that were taken in long ago, proven from the log alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "verify/batches.rs"]
mod batches;
#[path = "verify/rewritten.rs"]
mod rewritten;
#[path = "../../../projections/testing.rs"]
mod testing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent, RequestLine};
use domain_kernel::{CorrelationId, Json, Recorded, Space};
use domain_registry::{
    RegistryEvent, Resource, ResourceDefined, ResourceKind, ResourceRetired, Secret, Source,
};
use platform_vault::Vault;
use projections_registry_view::secret_context;
use ring::{digest, hmac};
use schemas::{Deliveries, Registry};
use services_replay::{Failure, Verified, Which, verify_deliveries};
use testing::{Mesh, recorded};

const STORED: usize = 10_000;
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn source(mesh: &Mesh, id: &str, scheme: &str, secrets: &[(&str, &str)]) -> Source {
    let settings = mesh.settings();
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir).unwrap();
    let seal = |(secret, text): &(&str, &str)| Secret {
        id: (*secret).to_owned(),
        sealed: vault
            .seal(text, &secret_context(ResourceKind::Source, id, secret))
            .unwrap(),
        valid_from: None,
        valid_until: None,
    };
    Source {
        space: Space::new("support"),
        scheme: scheme.to_owned(),
        signing: None,
        secrets: secrets.iter().map(seal).collect(),
        event_type_pointer: None,
        event_type: Some("ticket".to_owned()),
        subject_pointer: None,
        text_pointers: Vec::new(),
        content_pointer: None,
        event_types: Vec::new(),
    }
}

async fn define(mesh: &Mesh, id: &str, version: u64, source: Source) {
    let event = RegistryEvent::Defined(ResourceDefined {
        id: id.to_owned(),
        tenant: domain_kernel::TenantId::new("acme"),
        resource: Resource::Source(source),
    });
    let recorded = recorded(&format!("source/{id}"), version, event);
    mesh.append(vec![mesh.record::<Registry>(&recorded)]).await;
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

/// As the gateway records it.
fn stored(source_id: &str, scheme: &str, delivery_id: &str, body: Vec<u8>) -> DeliveryAccepted {
    DeliveryAccepted {
        source_id: source_id.to_owned(),
        delivery_id: delivery_id.to_owned(),
        space: Space::new("support"),
        scheme: scheme.to_owned(),
        auth: AuthMethod::HmacSha256,
        key_id: Some("2025".to_owned()),
        content_type: "application/json".to_owned(),
        body_sha256: sha256(&body),
        body,
        signed_headers: Vec::new(),
        event_type: "ticket".to_owned(),
        subject: None,
        request: None,
        source_version: None,
        quarantine: None,
    }
}

/// `v1,` and the signature.
fn v1(secret: &str, id: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
    let signature = mac(&key, &[id.as_bytes(), b".1700000000.", body]);
    format!("v1,{}", STANDARD.encode(signature))
}

fn standard_headers(id: &str, signature: &str) -> Vec<(String, String)> {
    [
        ("webhook-id", id),
        ("webhook-timestamp", "1700000000"),
        ("webhook-signature", signature),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn standard(n: usize, key_id: &str, secret: &str) -> DeliveryAccepted {
    let id = format!("msg_{n}");
    let body = format!(r#"{{"n":{n},"text":"ticket number {n}"}}"#).into_bytes();
    DeliveryAccepted {
        key_id: Some(key_id.to_owned()),
        signed_headers: standard_headers(&id, &v1(secret, &id, &body)),
        ..stored("zapier", "standard-webhooks", &id, body)
    }
}

fn event(delivery: DeliveryAccepted) -> Recorded<DeliveryEvent> {
    let correlation = CorrelationId::of_delivery(&delivery.source_id, &delivery.delivery_id);
    let mut recorded = recorded(
        &correlation.to_string(),
        1,
        DeliveryEvent::Accepted(delivery),
    );
    recorded.meta.correlation = correlation;
    recorded
}

async fn append(mesh: &Mesh, deliveries: impl IntoIterator<Item = DeliveryAccepted>) {
    let records = deliveries
        .into_iter()
        .map(|delivery| mesh.record::<Deliveries>(&event(delivery)))
        .collect();
    mesh.append(records).await;
}

async fn verify(mesh: &Mesh, which: &Which) -> (Verified, Vec<Failure>) {
    let mut failures = Vec::new();
    let found = verify_deliveries(&mesh.settings(), which, |failure| {
        failures.push(failure.clone());
    })
    .await
    .unwrap();
    (found, failures)
}

/// Half were signed with a secret that was retired since, and in the end the
/// source itself was. One byte of one of them was altered, with its digest.
#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_among_ten_thousand_is_found() {
    let mesh = Mesh::new("verify").await;
    let scheme = "standard-webhooks";
    define(
        &mesh,
        "zapier",
        1,
        source(&mesh, "zapier", scheme, &[("2025", OLD)]),
    )
    .await;
    let rotated = source(&mesh, "zapier", scheme, &[("2025", OLD), ("2026", NEW)]);
    define(&mesh, "zapier", 2, rotated).await;
    define(
        &mesh,
        "zapier",
        3,
        source(&mesh, "zapier", scheme, &[("2026", NEW)]),
    )
    .await;
    let retired = RegistryEvent::Retired(ResourceRetired {
        kind: ResourceKind::Source,
        id: "zapier".to_owned(),
        tenant: domain_kernel::TenantId::new("acme"),
    });
    let retired = recorded("source/zapier", 4, retired);
    mesh.append(vec![mesh.record::<Registry>(&retired)]).await;

    let mut deliveries: Vec<_> = (0..STORED)
        .map(|n| match n % 2 {
            0 => standard(n, "2025", OLD),
            _ => standard(n, "2026", NEW),
        })
        .collect();
    let altered = &mut deliveries[6_174];
    altered.body[9] ^= 1;
    altered.body_sha256 = sha256(&altered.body);
    let correlation = CorrelationId::of_delivery("zapier", "msg_6174").to_string();
    append(&mesh, deliveries).await;

    let begun = std::time::Instant::now();
    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: STORED as u64,
        proven: STORED as u64 - 1,
        failed: 1,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:?}");
    let [failure] = failures.as_slice() else {
        panic!("{failures:?}");
    };
    assert_eq!(
        failure.correlation_id.as_deref(),
        Some(correlation.as_str())
    );
    assert!(failure.reason.contains("signature"), "{}", failure.reason);
    println!(
        "{STORED} stored deliveries verified in {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_in_any_other_way_is_found_too() {
    let mesh = Mesh::new("verify_more").await;
    let scheme = "standard-webhooks";
    define(
        &mesh,
        "zapier",
        1,
        source(&mesh, "zapier", scheme, &[("2025", OLD)]),
    )
    .await;
    define(
        &mesh,
        "hubspot",
        1,
        source(&mesh, "hubspot", "hubspot-v3", &[("2025", "hub-secret")]),
    )
    .await;
    define(
        &mesh,
        "airflow",
        1,
        source(
            &mesh,
            "airflow",
            "bearer",
            &[("2025", "a long enough token")],
        ),
    )
    .await;
    let mut custom = source(&mesh, "acme-erp", "custom", &[("2025", "erp-secret")]);
    custom.signing = Some(Json::from_text(
        r#"{"signature":{"header":"x-erp","encoding":"hex"},"algorithm":"hmac-sha256","signed":"{method} {body}"}"#,
    ));
    // The description that counts is the one of the version it was checked by.
    define(&mesh, "acme-erp", 1, custom.clone()).await;
    custom.signing = Some(Json::from_text(
        r#"{"signature":{"header":"x-other","encoding":"hex"},"algorithm":"hmac-sha512"}"#,
    ));
    define(&mesh, "acme-erp", 2, custom).await;

    let hubspot = |uri: Option<&str>| {
        let body = format!("[{{\"uri\":{uri:?}}}]").into_bytes();
        let signature = mac(
            b"hub-secret",
            &[
                b"POST",
                b"https://mesh.example/hooks/hubspot",
                &body,
                b"1700000000000",
            ],
        );
        DeliveryAccepted {
            signed_headers: vec![
                (
                    "x-hubspot-signature-v3".to_owned(),
                    STANDARD.encode(signature),
                ),
                (
                    "x-hubspot-request-timestamp".to_owned(),
                    "1700000000000".to_owned(),
                ),
            ],
            request: uri.map(|uri| RequestLine {
                method: "POST".to_owned(),
                uri: uri.to_owned(),
            }),
            ..stored("hubspot", "hubspot-v3", &sha256(&body), body)
        }
    };
    let erp = |version: u64| {
        let body = format!("{{\"v\":{version}}}").into_bytes();
        let signature = mac(b"erp-secret", &[b"POST ", &body]);
        DeliveryAccepted {
            signed_headers: vec![("x-erp".to_owned(), hex::encode(signature))],
            source_version: Some(version),
            ..stored("acme-erp", "custom", &sha256(&body), body)
        }
    };
    let bearer = |digest: Option<&str>| {
        let mut delivery = DeliveryAccepted {
            auth: AuthMethod::Bearer,
            ..stored(
                "airflow",
                "bearer",
                digest.unwrap_or("run-1"),
                b"{}".to_vec(),
            )
        };
        if let Some(digest) = digest {
            delivery.body_sha256 = digest.to_owned();
        }
        delivery
    };
    let mut no_key = standard(1, "2025", OLD);
    no_key.key_id = None;
    let mut other_id = standard(2, "2025", OLD);
    other_id.delivery_id = "msg_two".to_owned();
    append(
        &mesh,
        [
            standard(0, "2025", OLD),
            hubspot(Some("https://mesh.example/hooks/hubspot")),
            erp(1),
            bearer(None),
            // From here on, each is wrong in its own way.
            standard(3, "2024", OLD),
            standard(4, "2025", NEW),
            no_key,
            other_id,
            hubspot(None),
            hubspot(Some("https://evil.example/hooks/hubspot")),
            erp(2),
            bearer(Some("00")),
        ],
    )
    .await;
    let mut strayed = event(standard(5, "2025", OLD));
    strayed.meta.correlation = CorrelationId::of_delivery("zapier", "msg_0");
    mesh.append(vec![mesh.record::<Deliveries>(&strayed)]).await;

    let (found, failures) = verify(&mesh, &Which::default()).await;
    let expected = Verified {
        deliveries: 13,
        proven: 3,
        unsigned: 1,
        failed: 9,
        ..Verified::default()
    };
    assert_eq!(found, expected, "{failures:#?}");

    let only_hubspot = Which {
        source: Some("hubspot".to_owned()),
        ..Which::default()
    };
    let (found, _) = verify(&mesh, &only_hubspot).await;
    assert_eq!((found.deliveries, found.proven), (3, 1));
    let nobody_s = Which {
        tenant: Some("globex".to_owned()),
        ..Which::default()
    };
    assert_eq!(verify(&mesh, &nobody_s).await.0, Verified::default());
}
