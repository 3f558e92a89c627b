//! Slack: HMAC-SHA256 over `v0:timestamp:body`. An event's own id stands in the
//! body, which is signed; a body without one, such as the form that a slash
//! command or a button sends, is recognised by its digest.

use serde::Deserialize;

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::{number, only, own_id};
use crate::key::{Candidates, Key, matching_key};

pub(crate) const SIGNATURE: &str = "x-slack-signature";
const TIMESTAMP: &str = "x-slack-request-timestamp";

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let signature = only(presented.headers, SIGNATURE).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let timestamp = only(presented.headers, TIMESTAMP).ok_or(NotAuthentic::bad(
        "the timestamp header is missing or repeated",
    ))?;
    let signed_at = number(timestamp).ok_or(NotAuthentic::bad("the timestamp is malformed"))?;
    let candidate = candidate(signature).ok_or(NotAuthentic::bad("the signature is malformed"))?;
    let signed: [&[u8]; 4] = [b"v0:", timestamp.as_bytes(), b":", presented.body];
    let key =
        matching_key(keys, presented.now, &signed, &candidate).ok_or(NotAuthentic::unexplained())?;
    presented.fresh(signed_at.saturating_mul(1_000))?;
    Ok(Authentic {
        auth: Auth::HmacSha256,
        key_id: key.id.clone(),
        delivery_id: event_id(presented.body).unwrap_or_else(|| presented.body_sha256.to_owned()),
        headers: vec![
            (SIGNATURE.to_owned(), signature.to_owned()),
            (TIMESTAMP.to_owned(), timestamp.to_owned()),
        ],
        event_type: None,
    })
}

/// What Slack asks when a URL is registered with it; the answer is the challenge.
pub fn challenge(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Verification {
        r#type: String,
        challenge: String,
    }
    serde_json::from_slice::<Verification>(body)
        .ok()
        .filter(|verification| verification.r#type == "url_verification")
        .map(|verification| verification.challenge)
}

fn event_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        event_id: String,
    }
    serde_json::from_slice::<Event>(body)
        .ok()
        .and_then(|event| own_id(event.event_id))
}

fn candidate(signature: &str) -> Option<Candidates> {
    let digits = signature.strip_prefix("v0=")?;
    Some(Candidates::mac(hex::decode(digits).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_recognised_by_its_own_id() {
        assert_eq!(event_id(br#"{"event_id":"Ev1"}"#).as_deref(), Some("Ev1"));
        for body in [&b"{}"[..], b"token=x", br#"{"event_id":""}"#] {
            assert_eq!(event_id(body), None);
        }
    }

    #[test]
    fn only_a_verification_has_a_challenge() {
        let asked = br#"{"type":"url_verification","challenge":"abc"}"#;
        assert_eq!(challenge(asked).as_deref(), Some("abc"));
        assert_eq!(challenge(br#"{"type":"event","challenge":"abc"}"#), None);
    }
}
