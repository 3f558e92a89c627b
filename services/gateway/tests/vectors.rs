//! The published signature vectors, through the functions that check deliveries.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use domain_kernel::Timestamp;
use platform_http::axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use services_gateway::signature::{Presented, Scheme};

#[derive(Deserialize)]
struct Vector {
    name: String,
    scheme: String,
    secret: String,
    id: Option<String>,
    timestamp: Option<String>,
    body: String,
    signature: String,
}

/// Schemes with vectors that no version can check yet. Whoever builds one takes
/// it out here, and its vectors are checked from then on.
const NOT_YET: [&str; 3] = ["hubspot-v2", "hubspot-v3", "slack"];

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
    let headers = headers(scheme, vector);
    let presented = Presented {
        headers: &headers,
        body,
        body_sha256: "",
        now: Timestamp::from_millis((signed_at + seconds_late) * 1_000),
        tolerance_seconds: 300,
    };
    scheme.authenticate(&[key], &presented).is_ok()
}

#[test]
fn published_signatures_are_accepted_and_altered_bodies_are_not() {
    let mut checked: BTreeMap<String, usize> = BTreeMap::new();
    for vector in vectors() {
        let Ok(scheme) = vector.scheme.parse::<Scheme>() else {
            continue;
        };
        let body = vector.body.as_bytes();
        assert!(accepted(scheme, &vector, body, 0), "{}", vector.name);
        let mut altered = body.to_vec();
        altered[0] ^= 1;
        assert!(!accepted(scheme, &vector, &altered, 0), "{}", vector.name);
        assert_eq!(
            accepted(scheme, &vector, body, 301),
            scheme == Scheme::Github,
            "{}",
            vector.name
        );
        *checked.entry(vector.scheme).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("github".to_owned(), 1),
        ("standard-webhooks".to_owned(), 2),
    ]);
    assert_eq!(checked, expected);
}

#[test]
fn the_schemes_that_are_still_missing_are_known() {
    let missing: BTreeSet<String> = vectors()
        .into_iter()
        .filter(|vector| vector.scheme.parse::<Scheme>().is_err())
        .map(|vector| vector.scheme)
        .collect();
    assert_eq!(missing, NOT_YET.map(str::to_owned).into());
}
