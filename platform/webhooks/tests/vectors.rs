//! The published signature vectors, through the functions that check deliveries.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use domain_kernel::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use platform_webhooks::{Presented, Scheme, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    scheme: String,
    secret: String,
    id: Option<String>,
    timestamp: Option<String>,
    method: Option<String>,
    uri: Option<String>,
    body: String,
    signature: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/signatures.json")).unwrap()
}

fn headers(scheme: Scheme, vector: &Vector) -> HeaderMap {
    let entries: Vec<(&'static str, &str)> = match scheme {
        Scheme::StandardWebhooks => vec![
            ("webhook-id", vector.id.as_deref().unwrap()),
            ("webhook-timestamp", vector.timestamp.as_deref().unwrap()),
            ("webhook-signature", &vector.signature),
        ],
        Scheme::Github => vec![
            ("x-hub-signature-256", &vector.signature),
            ("x-github-event", "push"),
        ],
        Scheme::Slack => vec![
            (
                "x-slack-request-timestamp",
                vector.timestamp.as_deref().unwrap(),
            ),
            ("x-slack-signature", &vector.signature),
        ],
        Scheme::HubspotV3 => vec![
            (
                "x-hubspot-request-timestamp",
                vector.timestamp.as_deref().unwrap(),
            ),
            ("x-hubspot-signature-v3", &vector.signature),
        ],
        Scheme::HubspotV2 => vec![("x-hubspot-signature", &vector.signature)],
        Scheme::Stripe => vec![("stripe-signature", &vector.signature)],
        Scheme::Shopify => vec![
            ("x-shopify-hmac-sha256", &vector.signature),
            ("x-shopify-event-id", "e-1"),
            ("x-shopify-topic", "orders/create"),
        ],
        Scheme::SfmcEns => vec![("x-sfmc-ens-signature", &vector.signature)],
        Scheme::Zapier | Scheme::Bearer | Scheme::Mtls => Vec::new(),
    };
    entries
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn accepted(scheme: Scheme, vector: &Vector, body: &[u8], seconds_late: i64) -> bool {
    let key = scheme.key("k", &vector.secret, None, None).unwrap();
    let signed_at: i64 = vector
        .timestamp
        .as_deref()
        .map_or(0, |timestamp| timestamp.parse().unwrap());
    // HubSpot signs milliseconds, the others seconds.
    let unit = if scheme == Scheme::HubspotV3 {
        1
    } else {
        1_000
    };
    let headers = headers(scheme, vector);
    let presented = Presented {
        method: vector.method.as_deref().unwrap_or("POST"),
        uri: vector.uri.as_deref().unwrap_or_default(),
        headers: &headers,
        body,
        body_sha256: "",
        now: Timestamp::from_millis(signed_at * unit + seconds_late * 1_000),
        tolerance_seconds: Some(300),
        certificate: None,
    };
    Verifier::named(scheme)
        .with_keys([key])
        .authenticate(&presented)
        .is_ok()
}

#[test]
fn published_signatures_are_accepted_and_altered_bodies_are_not() {
    let mut checked: BTreeMap<String, usize> = BTreeMap::new();
    for vector in vectors() {
        let scheme: Scheme = vector.scheme.parse().unwrap();
        let body = vector.body.as_bytes();
        assert!(accepted(scheme, &vector, body, 0), "{}", vector.name);
        let mut altered = body.to_vec();
        match altered.first_mut() {
            Some(byte) => *byte ^= 1,
            None => altered.push(b'x'),
        }
        assert!(!accepted(scheme, &vector, &altered, 0), "{}", vector.name);
        assert_eq!(
            accepted(scheme, &vector, body, 301),
            matches!(
                scheme,
                Scheme::Github | Scheme::HubspotV2 | Scheme::Shopify | Scheme::SfmcEns
            ),
            "{}",
            vector.name
        );
        *checked.entry(vector.scheme).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("github".to_owned(), 1),
        ("hubspot-v2".to_owned(), 1),
        ("hubspot-v3".to_owned(), 1),
        ("sfmc-ens".to_owned(), 1),
        ("shopify".to_owned(), 1),
        ("slack".to_owned(), 1),
        ("standard-webhooks".to_owned(), 2),
        ("stripe".to_owned(), 1),
    ]);
    assert_eq!(checked, expected);
}
