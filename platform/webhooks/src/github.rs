//! GitHub: HMAC-SHA256 over the body alone. The delivery id and the event name
//! are not signed, so a repeat is recognised by the body and the event name; the
//! id is kept as a hint for whoever looks into it.

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::only;
use crate::key::{Candidates, Key, matching_key};

pub(crate) const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const MAX_EVENT: usize = 64;
const MAX_DELIVERY: usize = 128;

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let signature = only(presented.headers, SIGNATURE).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let event = only(presented.headers, EVENT)
        .filter(|event| is_event(event))
        .ok_or(NotAuthentic::bad(
            "the event header is missing, repeated or malformed",
        ))?;
    let candidate = candidate(signature).ok_or(NotAuthentic::bad("the signature is malformed"))?;
    let key = matching_key(keys, presented.now, &[presented.body], &candidate)
        .ok_or(NotAuthentic::unexplained())?;
    let mut headers = vec![
        (SIGNATURE.to_owned(), signature.to_owned()),
        (EVENT.to_owned(), event.to_owned()),
    ];
    if let Some(delivery) =
        only(presented.headers, DELIVERY).filter(|delivery| delivery.len() <= MAX_DELIVERY)
    {
        headers.push((DELIVERY.to_owned(), delivery.to_owned()));
    }
    Ok(Authentic {
        auth: Auth::HmacSha256,
        key_id: key.id.clone(),
        delivery_id: format!("{}:{event}", presented.body_sha256),
        headers,
        event_type: Some(event.to_owned()),
    })
}

fn is_event(event: &str) -> bool {
    !event.is_empty()
        && event.len() <= MAX_EVENT
        && event
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn candidate(signature: &str) -> Option<Candidates> {
    let digits = signature.strip_prefix("sha256=")?;
    Some(Candidates::mac(hex::decode(digits).ok()?))
}

#[cfg(test)]
mod tests {
    use domain_kernel::Timestamp;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::Scheme;

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const GOOD: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(headers: &[(&'static str, &str)], body: &[u8]) -> Result<Authentic, NotAuthentic> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        authenticate(
            &[Scheme::Github.key("k", SECRET, None, None).unwrap()],
            &Presented {
                method: "POST",
                uri: "",
                headers: &map,
                body,
                body_sha256: "d1",
                now: Timestamp::from_millis(0),
                tolerance_seconds: Some(300),
                certificate: None,
            },
        )
    }

    #[test]
    fn a_repeat_is_recognised_by_body_and_event_not_by_the_unsigned_id() {
        let first = check(
            &[(SIGNATURE, GOOD), (EVENT, "push"), (DELIVERY, "one")],
            BODY,
        )
        .unwrap();
        let second = check(
            &[(SIGNATURE, GOOD), (EVENT, "push"), (DELIVERY, "two")],
            BODY,
        )
        .unwrap();
        assert_eq!(first.delivery_id, "d1:push");
        assert_eq!(first.delivery_id, second.delivery_id);
        assert_eq!(first.event_type.as_deref(), Some("push"));
    }

    #[test]
    fn what_is_malformed_or_altered_is_refused() {
        for (headers, body) in [
            (
                &[(SIGNATURE, GOOD), (EVENT, "push")][..],
                &b"Hello, World?"[..],
            ),
            (&[(SIGNATURE, GOOD)], BODY),
            (&[(EVENT, "push")], BODY),
            (&[(SIGNATURE, &GOOD[..20]), (EVENT, "push")], BODY),
            (&[(SIGNATURE, "sha1=00"), (EVENT, "push")], BODY),
            (
                &[(SIGNATURE, &GOOD["sha256=".len()..]), (EVENT, "push")],
                BODY,
            ),
            (
                &[(SIGNATURE, GOOD), (SIGNATURE, GOOD), (EVENT, "push")],
                BODY,
            ),
            (&[(SIGNATURE, GOOD), (EVENT, "a b")], BODY),
        ] {
            assert!(check(headers, body).is_err(), "{headers:?}");
        }
    }
}
