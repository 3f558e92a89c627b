//! Senders known by their connection: a token, a certificate.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use domain_kernel::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use platform_webhooks::{
    Auth, Authentic, Certificate, NotAuthentic, Presented, Reason, Scheme, Verifier,
};

fn check(
    scheme: Scheme,
    secret: &str,
    headers: &[(&str, &str)],
    certificate: Option<Certificate<'_>>,
) -> Result<Authentic, NotAuthentic> {
    let mut verifier = Verifier::named(scheme);
    assert!(verifier.add(
        "old",
        "subject:CN=old",
        None,
        Some(Timestamp::from_millis(1))
    ));
    assert!(verifier.add("new", secret, None, None));
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
        uri: "",
        headers: &headers,
        body: b"{}",
        body_sha256: "d1",
        now: Timestamp::from_millis(1_000),
        tolerance_seconds: Some(300),
        certificate,
    })
}

#[test]
fn a_token_is_recorded_as_bearer_and_kept_nowhere() {
    let token = "tok-0123456789";
    let bearer = |headers: &[(&str, &str)]| check(Scheme::Bearer, token, headers, None);
    let good = bearer(&[("authorization", "Bearer tok-0123456789")]).unwrap();
    assert_eq!((good.auth, good.key_id.as_str()), (Auth::Bearer, "new"));
    assert!(!good.auth.is_signature());
    assert_eq!(good.delivery_id, "d1");
    assert!(!format!("{good:?}").contains(token));

    let keyed = bearer(&[
        ("authorization", "bearer tok-0123456789"),
        ("idempotency-key", "\"run-7\""),
    ])
    .unwrap();
    assert_eq!(keyed.delivery_id, "run-7");
    for bad in [
        &[][..],
        &[("authorization", "tok-0123456789")],
        &[("authorization", "Basic tok-0123456789")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer tok-012345678")],
        &[("authorization", "Bearer subject:CN=old")],
    ] {
        assert_eq!(
            bearer(bad).unwrap_err().reason,
            Reason::BadSignature,
            "{bad:?}"
        );
    }
    let malformed = bearer(&[
        ("authorization", "Bearer tok-0123456789"),
        ("idempotency-key", "\"open"),
    ]);
    assert_eq!(
        malformed.unwrap_err().reason,
        Reason::MalformedIdempotencyKey
    );
}

#[test]
fn a_certificate_is_recorded_as_mtls() {
    let presented = Certificate {
        subject: "CN=airflow",
        sha256: [0xab; 32],
    };
    for secret in ["subject:CN=airflow", &format!("sha256:{}", "ab".repeat(32))] {
        let good = check(Scheme::Mtls, secret, &[], Some(presented)).unwrap();
        assert_eq!((good.auth, good.key_id.as_str()), (Auth::Mtls, "new"));
        assert!(check(Scheme::Mtls, secret, &[], None).is_err());
        for other in [
            Certificate {
                subject: "CN=other",
                sha256: [0xac; 32],
            },
            Certificate {
                subject: "CN=old",
                sha256: [0; 32],
            },
        ] {
            assert!(check(Scheme::Mtls, secret, &[], Some(other)).is_err());
        }
    }
}
