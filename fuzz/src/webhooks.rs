//! Signatures, descriptions of schemes, and bodies: whatever a stranger sends,
//! nothing panics, and what is believed once is believed again from what would be
//! kept of it.

use domain_kernel::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use platform_webhooks::{
    Certificate, Presented, Scheme, Verifier, challenge, document, idempotency_key, is_form,
    is_json, verification,
};

/// Secrets under which the entries of the corpus are signed.
const HMAC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// RFC 8032, test 1.
const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const PUBLIC_HEX: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const OPAQUE: &str = "a secret of the corpus";
const CERTIFICATE: &str = "subject:CN=fuzz";

/// A byte for the scheme, then header lines, an empty line, and the body.
pub fn signature(data: &[u8]) {
    let Some((scheme, rest)) = data.split_first() else {
        return;
    };
    let scheme = Scheme::ALL[usize::from(*scheme) % Scheme::ALL.len()];
    let mut verifier = Verifier::named(scheme);
    let secrets: &[&str] = match scheme {
        Scheme::StandardWebhooks => &[HMAC, PUBLIC],
        Scheme::Mtls => &[CERTIFICATE],
        _ => &[OPAQUE],
    };
    for secret in secrets {
        assert!(verifier.add("k", secret, None, None));
    }
    request(&verifier, rest);
    let nobody = Verifier::named(scheme).with_keys(scheme.nobody_s_key(b"nobody at all"));
    let (headers, body) = split(rest);
    let without_keys = Verifier::named(scheme).authenticate(&presented(&headers, body));
    assert!(without_keys.is_err(), "without a key nobody is believed");
    assert!(nobody.authenticate(&presented(&headers, body)).is_err());
}

/// The description of a scheme in JSON, a zero byte, and a request.
pub fn description(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let description = halves.next().unwrap_or_default();
    let Ok(description) = std::str::from_utf8(description) else {
        return;
    };
    let Ok(mut verifier) = Verifier::of("custom", Some(description)) else {
        return;
    };
    if verifier.add("k", PUBLIC_HEX, None, None) {
        request(&verifier, halves.next().unwrap_or_default());
    }
}

/// A content type, a line feed, and a body.
pub fn body(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let content_type = String::from_utf8_lossy(halves.next().unwrap_or_default());
    let body = halves.next().unwrap_or_default();
    assert!(!(is_form(&content_type) && is_json(&content_type)));
    for scheme in ["zapier", "slack"] {
        let read = |bytes: &[u8]| serde_json::from_slice(bytes);
        let one = document(scheme, &content_type, body, read);
        // Gateway and federation read a body each for itself.
        assert_eq!(one, document(scheme, &content_type, body, read));
    }
    let _ = challenge(body);
    let _ = verification(body);
}

fn request(verifier: &Verifier, data: &[u8]) {
    let (headers, body) = split(data);
    let _ = idempotency_key(&headers);
    let _ = Scheme::guess(&headers);
    let Ok(authentic) = verifier.authenticate(&presented(&headers, body)) else {
        return;
    };
    if !authentic.auth.is_signature() {
        return;
    }
    // From what is kept of it, the same follows.
    let mut kept = HeaderMap::new();
    for (name, value) in &authentic.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        kept.append(
            name,
            HeaderValue::from_str(value).expect("a header's value"),
        );
    }
    let again = verifier.authenticate(&presented(&kept, body));
    assert_eq!(again.as_ref(), Ok(&authentic));
    let mut altered = body.to_vec();
    altered.push(b' ');
    let other = verifier.authenticate(&presented(&kept, &altered));
    // Only the envelope of Zapier signs less than the whole body.
    if verifier.scheme() != Some(Scheme::Zapier) {
        assert!(other.is_err(), "another body is another delivery");
    }
}

fn split(data: &[u8]) -> (HeaderMap, &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (lines, body) = match end {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &[][..]),
    };
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(100) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(halves.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(halves.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, body)
}

fn presented<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Presented<'a> {
    Presented {
        method: "POST",
        uri: "https://mesh.example/hooks/x?a=%2F",
        headers,
        body,
        body_sha256: "d",
        now: Timestamp::from_millis(1_700_000_000_000),
        tolerance_seconds: None,
        certificate: Some(Certificate {
            subject: "CN=fuzz",
            sha256: [7; 32],
        }),
    }
}
