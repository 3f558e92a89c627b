//! Salesforce Marketing Cloud, Event Notification Service: HMAC-SHA256 over the
//! body in base64. There is no time and no id, so a repeat is recognised by the
//! body's digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::{is_token, only};
use crate::key::{Candidates, Key, matching_key};

pub(crate) const SIGNATURE: &str = "x-sfmc-ens-signature";

/// What is sent, unsigned, when a callback is made. An administrator has to hand
/// both to Marketing Cloud's `ens-verify` before it sends any events.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verification {
    pub callback_id: String,
    pub verification_key: String,
}

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let signature = only(presented.headers, SIGNATURE).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let mac = STANDARD
        .decode(signature)
        .map_err(|_| NotAuthentic::bad("the signature is malformed"))?;
    let key = matching_key(
        keys,
        presented.now,
        &[presented.body],
        &Candidates::mac(mac),
    )
    .ok_or(NotAuthentic::unexplained())?;
    Ok(Authentic {
        auth: Auth::HmacSha256,
        key_id: key.id.clone(),
        delivery_id: presented.body_sha256.to_owned(),
        headers: vec![(SIGNATURE.to_owned(), signature.to_owned())],
        event_type: None,
    })
}

/// The verification in a body that has nothing else in it.
pub fn verification(body: &[u8]) -> Option<Verification> {
    serde_json::from_slice::<Verification>(body)
        .ok()
        .filter(|asked| is_token(&asked.callback_id) && is_token(&asked.verification_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verification_is_one() {
        let body = br#"{"callbackId":"c-1","verificationKey":"k-1"}"#;
        assert_eq!(verification(body).unwrap().verification_key, "k-1");
        for body in [
            &b"[]"[..],
            br#"{"callbackId":"c-1"}"#,
            br#"{"callbackId":"c-1","verificationKey":"k\n1"}"#,
            br#"{"callbackId":"c-1","verificationKey":"k-1","x":1}"#,
        ] {
            assert_eq!(verification(body), None);
        }
    }
}
