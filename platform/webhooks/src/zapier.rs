//! A body that carries its own signature: `{"event_type", "payload",
//! "signature"}`, as a step of an automation tool can send it that cannot set
//! headers, or not from what it computes.
//!
//! Signed are the event type, a line feed, and the payload. When the payload is
//! a JSON string, that is the string's own text; otherwise it is the bytes of
//! the value as they stand in the body, from its first to its last. So nothing
//! has to be put into a canonical form by either side.
//!
//! There is no time among what is signed, because automation tools repeat what
//! failed for hours, unchanged. In its place a delivery is recognised for ever
//! by what was signed: a copy of it is a repeat and has no effect.

use ring::digest;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::key::{Candidates, Key, matching_key};

/// Before the signature's hexadecimal digits; may be left out.
const PREFIX: &str = "sha256=";
const MAX_EVENT_TYPE: usize = 256;

/// Unknown fields are refused: they would not be signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    event_type: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    signature: String,
}

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let envelope: Envelope<'_> = serde_json::from_slice(presented.body).map_err(|_| {
        NotAuthentic::bad("the body is not an object of event_type, payload and signature")
    })?;
    let event_type = envelope.event_type;
    // A line feed would let one signature stand for two splits.
    if event_type.is_empty()
        || event_type.len() > MAX_EVENT_TYPE
        || event_type.chars().any(char::is_control)
    {
        return Err(NotAuthentic::bad("the event type is malformed"));
    }
    let digits = envelope.signature.trim();
    let digits = digits.strip_prefix(PREFIX).unwrap_or(digits);
    let mac = hex::decode(digits).map_err(|_| NotAuthentic::bad("the signature is malformed"))?;
    let payload = signed_text(envelope.payload.get());
    let signed: [&[u8]; 3] = [event_type.as_bytes(), b"\n", payload.as_bytes()];
    let key = matching_key(keys, presented.now, &signed, &Candidates::mac(mac))
        .ok_or(NotAuthentic::unexplained())?;
    Ok(Authentic {
        auth: Auth::HmacSha256,
        key_id: key.id.clone(),
        delivery_id: digest_of(&signed),
        headers: Vec::new(),
        event_type: Some(event_type),
    })
}

/// Of a string its text, of anything else its JSON as it was written.
fn signed_text(raw: &str) -> std::borrow::Cow<'_, str> {
    if raw.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(raw)
    {
        return text.into();
    }
    raw.into()
}

fn digest_of(signed: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in signed {
        context.update(part);
    }
    hex::encode(context.finish())
}

#[cfg(test)]
mod tests {
    use domain_kernel::Timestamp;
    use http::HeaderMap;
    use ring::hmac;

    use super::*;
    use crate::{Scheme, Verifier};

    fn sign(event_type: &str, payload: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"zap-secret");
        hex::encode(hmac::sign(
            &key,
            format!("{event_type}\n{payload}").as_bytes(),
        ))
    }

    fn check(body: &str) -> Result<Authentic, NotAuthentic> {
        let key = Scheme::Zapier.key("k", "zap-secret", None, None).unwrap();
        Verifier::named(Scheme::Zapier)
            .with_keys([key])
            .authenticate(&Presented {
                method: "POST",
                uri: "",
                headers: &HeaderMap::new(),
                body: body.as_bytes(),
                body_sha256: "",
                now: Timestamp::from_millis(0),
                tolerance_seconds: Some(300),
                certificate: None,
            })
    }

    #[test]
    fn a_payload_is_signed_as_it_stands_or_as_its_text() {
        let payload = r#"{"n": 1.0, "name":"Zoë \u00e9"}"#;
        let signature = sign("ticket.created", payload);
        let as_it_stands = format!(
            r#"{{ "event_type":"ticket.created", "payload" : {payload} ,"signature":"sha256={signature}"}}"#
        );
        let text = serde_json::to_string(payload).unwrap();
        let as_text = format!(
            r#"{{"event_type":"ticket.created","payload":{text},"signature":"{signature}"}}"#
        );
        let one = check(&as_it_stands).unwrap();
        let other = check(&as_text).unwrap();
        assert_eq!(one.event_type.as_deref(), Some("ticket.created"));
        // The same thing said is the same delivery, however it was wrapped.
        assert_eq!(one.delivery_id, other.delivery_id);
    }

    #[test]
    fn what_is_altered_or_not_signed_is_refused() {
        let signature = sign("a", r#"{"n":1}"#);
        for body in [
            format!(r#"{{"event_type":"a","payload":{{"n":2}},"signature":"{signature}"}}"#),
            format!(r#"{{"event_type":"b","payload":{{"n":1}},"signature":"{signature}"}}"#),
            format!(r#"{{"event_type":"a","payload":{{"n": 1}},"signature":"{signature}"}}"#),
            format!(r#"{{"event_type":"a","payload":{{"n":1}},"signature":"{signature}","x":1}}"#),
            format!(
                r#"{{"event_type":"a","event_type":"a","payload":{{"n":1}},"signature":"{signature}"}}"#
            ),
            format!(
                r#"{{"event_type":"a\nb","payload":1,"signature":"{}"}}"#,
                sign("a\nb", "1")
            ),
            r#"{"event_type":"a","payload":{"n":1}}"#.to_owned(),
            r#"{"event_type":"a","payload":{"n":1},"signature":"zz"}"#.to_owned(),
            "[]".to_owned(),
            String::new(),
        ] {
            assert!(check(&body).is_err(), "{body}");
        }
        let good = format!(r#"{{"event_type":"a","payload":{{"n":1}},"signature":"{signature}"}}"#);
        assert!(check(&good).is_ok());
    }
}
