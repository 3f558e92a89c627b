//! Schemes described by their sources: those that are known by name, written
//! down, and some that are not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain_kernel::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use platform_webhooks::{Auth, Authentic, NotAuthentic, Presented, Reason, Verifier};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

const BODY: &[u8] = br#"{"id":"o-1","n":1}"#;
const NOW: i64 = 1_700_000_000;
const SECRET: &str = "custom-secret";

fn check(
    description: &Value,
    secret: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Authentic, NotAuthentic> {
    let mut verifier = Verifier::of("custom", Some(&description.to_string())).unwrap();
    assert!(verifier.add("k", secret, None, None));
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    verifier.authenticate(&Presented {
        method: "POST",
        uri: "https://mesh.example/hooks/x",
        headers: &headers,
        body,
        body_sha256: "d1",
        now: Timestamp::from_millis(NOW * 1_000),
        tolerance_seconds: Some(300),
        certificate: None,
    })
}

fn mac(algorithm: hmac::Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, SECRET.as_bytes());
    hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

#[test]
fn stripe_can_be_described() {
    let description = json!({
        "signature": {"header": "x-sig", "field": "v1", "encoding": "hex"},
        "algorithm": "hmac-sha256",
        "signed": "{timestamp}.{body}",
        "timestamp": {"header": "x-sig", "field": "t", "tolerance_seconds": 60},
        "delivery_id": {"pointer": "/id"},
    });
    let header = |at: i64| {
        let at = at.to_string();
        let mac = hex::encode(mac(hmac::HMAC_SHA256, &[at.as_bytes(), b".", BODY]));
        format!("t={at},v1=00,v1={mac}")
    };
    let good = check(&description, SECRET, &[("x-sig", &header(NOW))], BODY).unwrap();
    assert_eq!(
        (good.auth, good.delivery_id.as_str()),
        (Auth::HmacSha256, "o-1")
    );
    assert_eq!(good.headers, [("x-sig".to_owned(), header(NOW))]);
    let late = check(&description, SECRET, &[("x-sig", &header(NOW - 61))], BODY);
    assert_eq!(late.unwrap_err().reason, Reason::StaleTimestamp);
    for bad in [
        header(NOW).replace("t=", "u="),
        format!("t=1,{}", header(NOW)),
        header(NOW).replace("v1=", "v2="),
    ] {
        assert!(
            check(&description, SECRET, &[("x-sig", &bad)], BODY).is_err(),
            "{bad}"
        );
    }
    assert!(check(&description, SECRET, &[("x-sig", &header(NOW))], b"{}").is_err());
}

#[test]
fn method_uri_and_headers_can_be_signed_and_an_unsigned_id_is_not_believed_alone() {
    let description = json!({
        "signature": {"header": "x-sig", "prefix": "sha512=", "encoding": "base64"},
        "algorithm": "hmac-sha512",
        "signed": "{method}\n{uri}\n{header:X-Nonce}\n{body}",
        "delivery_id": {"header": "x-id"},
        "event_type_header": "x-event",
    });
    let signed = mac(
        hmac::HMAC_SHA512,
        &[b"POST\nhttps://mesh.example/hooks/x\nn-1\n", BODY],
    );
    let signature = format!("sha512={}", STANDARD.encode(&signed));
    let headers = [
        ("x-sig", signature.as_str()),
        ("x-nonce", "n-1"),
        ("x-id", "i-1"),
        ("x-event", "order.created"),
    ];
    let good = check(&description, SECRET, &headers, BODY).unwrap();
    assert_eq!(good.auth, Auth::HmacSha512);
    assert_eq!(good.delivery_id, "d1:i-1");
    assert_eq!(good.event_type.as_deref(), Some("order.created"));
    assert_eq!(good.headers.len(), 4);
    let other_nonce = [headers[0], ("x-nonce", "n-2"), headers[2]];
    assert!(check(&description, SECRET, &other_nonce, BODY).is_err());
    assert!(check(&description, SECRET, &headers[..2], BODY).is_err());
    let unprefixed = [
        ("x-sig", &signature["sha512=".len()..]),
        headers[1],
        headers[2],
    ];
    assert!(check(&description, SECRET, &unprefixed, BODY).is_err());
}

#[test]
fn older_and_asymmetric_algorithms() {
    let sha1 = json!({
        "signature": {"header": "x-hub-signature", "prefix": "sha1=", "encoding": "hex"},
        "algorithm": "hmac-sha1",
    });
    let signature = format!(
        "sha1={}",
        hex::encode(mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[BODY]))
    );
    let good = check(&sha1, SECRET, &[("x-hub-signature", &signature)], BODY).unwrap();
    assert_eq!(
        (good.auth, good.delivery_id.as_str()),
        (Auth::HmacSha1, "d1")
    );

    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let public = hex::encode(pair.public_key());
    // As Discord signs its interactions.
    let ed25519 = json!({
        "signature": {"header": "x-signature-ed25519", "encoding": "hex"},
        "algorithm": "ed25519",
        "secret_encoding": "hex",
        "signed": "{timestamp}{body}",
        "timestamp": {"header": "x-signature-timestamp"},
    });
    let at = NOW.to_string();
    let signature = pair.sign(&[at.as_bytes(), BODY].concat());
    let headers = [
        ("x-signature-ed25519", &*hex::encode(signature)),
        ("x-signature-timestamp", &at),
    ];
    assert_eq!(
        check(&ed25519, &public, &headers, BODY).unwrap().auth,
        Auth::Ed25519
    );
    assert!(check(&ed25519, &public, &headers, b"{}").is_err());

    let base64url = json!({
        "signature": {"header": "x-sig", "encoding": "base64url"},
        "algorithm": "hmac-sha256",
    });
    let signature = URL_SAFE_NO_PAD.encode(mac(hmac::HMAC_SHA256, &[BODY]));
    for padding in ["", "="] {
        let signature = format!("{signature}{padding}");
        assert!(check(&base64url, SECRET, &[("x-sig", &signature)], BODY).is_ok());
    }
}
