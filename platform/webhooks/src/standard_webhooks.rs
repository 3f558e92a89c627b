//! <https://www.standardwebhooks.com>: `id.timestamp.body`, signed by HMAC-SHA256
//! (`v1`, secret `whsec_`) or by Ed25519 (`v1a`, public key `whpk_`). The `svix-*`
//! names of the headers are the same scheme under older names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::MAX_SIGNATURES;
use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::{number, only};
use crate::key::{Candidates, Function, Key, MAX_ED25519, matching_key};

/// Header names of one family: id, timestamp, signature.
type Names = [&'static str; 3];

const FAMILIES: [Names; 2] = [
    ["webhook-id", "webhook-timestamp", "webhook-signature"],
    ["svix-id", "svix-timestamp", "svix-signature"],
];
const SECRET_PREFIX: &str = "whsec_";
const PUBLIC_PREFIX: &str = "whpk_";
/// Bytes. The specification sets no limit; ids seen in the wild have up to 40.
const MAX_ID: usize = 256;

pub(crate) fn function(secret: &str) -> Option<Function> {
    if let Some(public) = secret.strip_prefix(PUBLIC_PREFIX) {
        return Function::ed25519(&STANDARD.decode(public).ok()?);
    }
    let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
    Function::hmac_sha256(&STANDARD.decode(encoded).ok()?)
}

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let names = family(presented);
    let [id, timestamp, signature] = names.map(|name| only(presented.headers, name));
    let id = id.ok_or(NotAuthentic::bad("the id header is missing or repeated"))?;
    let timestamp = timestamp.ok_or(NotAuthentic::bad(
        "the timestamp header is missing or repeated",
    ))?;
    let signature = signature.ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    if !is_id(id) {
        return Err(NotAuthentic::bad("the id is malformed"));
    }
    let seconds = number(timestamp).ok_or(NotAuthentic::bad("the timestamp is malformed"))?;
    let candidates = candidates(signature)?;
    let signed: [&[u8]; 5] = [
        id.as_bytes(),
        b".",
        timestamp.as_bytes(),
        b".",
        presented.body,
    ];
    let key = matching_key(keys, presented.now, &signed, &candidates)
        .ok_or(NotAuthentic::unexplained())?;
    presented.fresh(seconds.saturating_mul(1_000))?;
    Ok(Authentic {
        auth: match key.function {
            Function::Ed25519(_) => Auth::Ed25519,
            _ => Auth::HmacSha256,
        },
        key_id: key.id.clone(),
        delivery_id: id.to_owned(),
        headers: names
            .into_iter()
            .zip([id, timestamp, signature])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        event_type: None,
    })
}

/// The family of names the request uses; never a mixture.
fn family(presented: &Presented<'_>) -> Names {
    FAMILIES
        .into_iter()
        .find(|names| {
            names
                .iter()
                .any(|name| presented.headers.contains_key(*name))
        })
        .unwrap_or(FAMILIES[0])
}

/// A `.` would let one signature stand for two splits of the signed bytes.
fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_ID
        && id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

/// The signatures in a space-separated list of `version,base64`. Versions this
/// build cannot check are passed over, so that a sender may add one.
fn candidates(header: &str) -> Result<Candidates, NotAuthentic> {
    let mut found = Candidates::default();
    for (position, entry) in header
        .split(' ')
        .filter(|entry| !entry.is_empty())
        .enumerate()
    {
        if position >= MAX_SIGNATURES {
            return Err(NotAuthentic::bad("there are too many signatures"));
        }
        let Some((version, encoded)) = entry.split_once(',') else {
            continue;
        };
        let Ok(bytes) = STANDARD.decode(encoded) else {
            continue;
        };
        match (version, bytes.len()) {
            ("v1", 32) => found.macs.push(bytes),
            ("v1a", 64) if found.signatures.len() < MAX_ED25519 => found.signatures.push(bytes),
            ("v1a", 64) => return Err(NotAuthentic::bad("there are too many v1a signatures")),
            _ => {}
        }
    }
    if found.macs.is_empty() && found.signatures.is_empty() {
        return Err(NotAuthentic::bad("there is no well-formed signature"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use domain_kernel::Timestamp;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use ring::hmac;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;
    use crate::{Reason, Scheme};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"n":1}"#;
    const NOW: i64 = 1_700_000_000;

    fn keys() -> Vec<Key> {
        vec![
            Scheme::StandardWebhooks
                .key("primary", SECRET, None, None)
                .unwrap(),
        ]
    }

    fn sign(id: &str, timestamp: &str, body: &[u8]) -> String {
        let key = STANDARD.decode(&SECRET[SECRET_PREFIX.len()..]).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
    }

    fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn check(headers: &HeaderMap, body: &[u8]) -> Result<Authentic, NotAuthentic> {
        authenticate(&keys(), &presented(headers, body))
    }

    fn signed(id: &str, timestamp: &str) -> HeaderMap {
        headers(&[
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", &sign(id, timestamp, BODY)),
        ])
    }

    #[test]
    fn a_good_signature_names_key_and_id() {
        let authentic = check(&signed("msg_1", &NOW.to_string()), BODY).unwrap();
        assert_eq!(authentic.key_id, "primary");
        assert_eq!(authentic.delivery_id, "msg_1");
        assert_eq!(authentic.headers.len(), 3);
    }

    #[test]
    fn the_older_names_are_the_same_scheme() {
        let timestamp = NOW.to_string();
        let older = headers(&[
            ("svix-id", "msg_1"),
            ("svix-timestamp", &timestamp),
            ("svix-signature", &sign("msg_1", &timestamp, BODY)),
        ]);
        assert_eq!(check(&older, BODY).unwrap().headers[0].0, "svix-id");
    }

    #[test]
    fn names_are_not_mixed() {
        let timestamp = NOW.to_string();
        let mixed = headers(&[
            ("webhook-id", "msg_1"),
            ("svix-timestamp", &timestamp),
            ("svix-signature", &sign("msg_1", &timestamp, BODY)),
        ]);
        assert!(check(&mixed, BODY).is_err());
    }

    #[test]
    fn one_altered_byte_is_noticed() {
        for position in 0..BODY.len() {
            let mut altered = BODY.to_vec();
            altered[position] ^= 1;
            assert!(check(&signed("msg_1", &NOW.to_string()), &altered).is_err());
        }
    }

    #[test]
    fn the_tolerance_is_inclusive_and_goes_both_ways() {
        for (offset, fresh) in [(-301, false), (-300, true), (300, true), (301, false)] {
            let answer = check(&signed("msg_1", &(NOW + offset).to_string()), BODY);
            assert_eq!(answer.is_ok(), fresh, "{offset}");
            if let Err(why) = answer {
                assert_eq!(why.reason, Reason::StaleTimestamp);
            }
        }
    }

    #[test]
    fn a_stale_delivery_with_a_bad_signature_is_a_bad_signature() {
        let mut stale = signed("msg_1", "1");
        stale.insert("webhook-signature", HeaderValue::from_static("v1,AAAA"));
        assert_eq!(
            check(&stale, BODY).unwrap_err().reason,
            Reason::BadSignature
        );
    }

    #[test]
    fn malformed_timestamps_are_refused() {
        for timestamp in [
            "",
            "-1",
            "+1700000000",
            "1.7e9",
            "1700000000.0",
            " 1700000000",
            "12345678901234567890",
            "1700000000000",
            "0x10",
        ] {
            assert!(
                check(&signed("msg_1", timestamp), BODY).is_err(),
                "{timestamp:?}"
            );
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        let long = "x".repeat(MAX_ID + 1);
        for id in ["", "a.b", "a b", "é", "\u{1F600}", &long] {
            assert!(
                check(&signed(id, &NOW.to_string()), BODY).is_err(),
                "{id:?}"
            );
        }
        let longest = "x".repeat(MAX_ID);
        assert!(check(&signed(&longest, &NOW.to_string()), BODY).is_ok());
    }

    #[test]
    fn repeated_headers_are_refused() {
        for name in FAMILIES[0] {
            let mut repeated = signed("msg_1", &NOW.to_string());
            let value = repeated[name].clone();
            repeated.append(name, value);
            assert!(check(&repeated, BODY).is_err(), "{name}");
        }
    }

    #[test]
    fn malformed_signatures_are_refused() {
        let good = sign("msg_1", &NOW.to_string(), BODY);
        let mac = good.strip_prefix("v1,").unwrap();
        for bad in [
            String::new(),
            format!("v1={mac}"),
            mac.to_owned(),
            format!("v9,{mac}"),
            format!("v1a,{mac}"),
            "v1,".to_owned(),
            "v1,!!!!".to_owned(),
            format!("v1,{}", mac.trim_end_matches('=')),
            format!("v1,{mac}="),
            format!("v1,{}", &mac[..40]),
            format!("v1,{mac},"),
        ] {
            let mut headers = signed("msg_1", &NOW.to_string());
            headers.insert("webhook-signature", HeaderValue::from_str(&bad).unwrap());
            assert!(check(&headers, BODY).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_good_one_may_be_the_last_of_many_but_not_of_too_many() {
        let good = sign("msg_1", &NOW.to_string(), BODY);
        let wrong = format!("v1,{}", STANDARD.encode([7; 32]));
        for (others, accepted) in [
            (0, true),
            (49, true),
            (MAX_SIGNATURES - 1, true),
            (MAX_SIGNATURES, false),
        ] {
            let list = std::iter::repeat_n(wrong.as_str(), others)
                .chain([good.as_str()])
                .collect::<Vec<_>>()
                .join(" ");
            let mut headers = signed("msg_1", &NOW.to_string());
            headers.insert("webhook-signature", HeaderValue::from_str(&list).unwrap());
            assert_eq!(check(&headers, BODY).is_ok(), accepted, "{others}");
        }
    }

    #[test]
    fn a_secret_may_lack_its_prefix_but_not_its_encoding() {
        assert!(function("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_some());
        assert!(function("whsec_not base64").is_none());
        assert!(function("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
    }

    #[test]
    fn an_ed25519_signature_is_explained_by_the_public_key() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
        let timestamp = NOW.to_string();
        let signed = [b"msg_1.", timestamp.as_bytes(), b".", BODY].concat();
        let signature = STANDARD.encode(pair.sign(&signed));
        let keys = [
            Scheme::StandardWebhooks
                .key("hmac", SECRET, None, None)
                .unwrap(),
            Scheme::StandardWebhooks
                .key("ed25519", &public, None, None)
                .unwrap(),
        ];
        let answer = |keys: &[Key], list: &str, body: &[u8]| {
            let mut headers = signed_headers(list);
            headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
            authenticate(keys, &presented(&headers, body))
        };
        let good = format!("v1a,{signature}");
        let authentic = answer(&keys, &good, BODY).unwrap();
        assert_eq!(
            (authentic.auth, authentic.key_id.as_str()),
            (Auth::Ed25519, "ed25519")
        );
        assert!(answer(&keys, &format!("v1,AAAA {good}"), BODY).is_ok());
        assert!(answer(&keys, &good, b"{}").is_err());
        assert!(answer(&keys[..1], &good, BODY).is_err());
        // As another version it is no signature.
        assert!(answer(&keys, &format!("v1,{signature}"), BODY).is_err());
        let many = [good.as_str(); MAX_ED25519 + 1].join(" ");
        assert!(answer(&keys, &many, BODY).is_err());
    }

    fn signed_headers(signature: &str) -> HeaderMap {
        headers(&[
            ("webhook-timestamp", &NOW.to_string()),
            ("webhook-signature", signature),
        ])
    }

    fn presented<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Presented<'a> {
        Presented {
            method: "POST",
            uri: "",
            headers,
            body,
            body_sha256: "",
            now: Timestamp::from_millis(NOW * 1_000 + 999),
            tolerance_seconds: Some(300),
            certificate: None,
        }
    }
}
