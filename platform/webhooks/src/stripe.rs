//! Stripe: HMAC-SHA256 over `t.body`, time and signatures in one header,
//! `t=…,v1=…`, with several `v1` while a secret is being rolled. The key is the
//! secret's text with its `whsec_`, not what that would decode to. An event's id
//! stands in the body, which is signed.

use serde::Deserialize;

use crate::MAX_SIGNATURES;
use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::{number, only, own_id};
use crate::key::{Candidates, Key, matching_key};

pub(crate) const SIGNATURE: &str = "stripe-signature";

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let header = only(presented.headers, SIGNATURE).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let (timestamp, candidates) =
        elements(header).ok_or(NotAuthentic::bad("the signature header is malformed"))?;
    let seconds = number(timestamp).ok_or(NotAuthentic::bad("the timestamp is malformed"))?;
    let signed: [&[u8]; 3] = [timestamp.as_bytes(), b".", presented.body];
    let key = matching_key(keys, presented.now, &signed, &candidates)
        .ok_or(NotAuthentic::unexplained())?;
    presented.fresh(seconds.saturating_mul(1_000))?;
    Ok(Authentic {
        auth: Auth::HmacSha256,
        key_id: key.id.clone(),
        delivery_id: event_id(presented.body).unwrap_or_else(|| presented.body_sha256.to_owned()),
        headers: vec![(SIGNATURE.to_owned(), header.to_owned())],
        event_type: None,
    })
}

/// The timestamp and the signatures of version 1. Other versions are passed
/// over: `v0` is sent in test mode and vouches for nothing.
fn elements(header: &str) -> Option<(&str, Candidates)> {
    let mut timestamp = None;
    let mut candidates = Candidates::default();
    for (position, element) in header.split(',').enumerate() {
        if position > MAX_SIGNATURES {
            return None;
        }
        match element.trim().split_once('=')? {
            ("t", value) if timestamp.is_none() => timestamp = Some(value),
            // Two times would make it ambiguous which of them was signed.
            ("t", _) => return None,
            ("v1", value) => {
                if let Ok(mac) = hex::decode(value) {
                    candidates.macs.push(mac);
                }
            }
            _ => {}
        }
    }
    (!candidates.macs.is_empty()).then_some((timestamp?, candidates))
}

fn event_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        id: String,
    }
    serde_json::from_slice::<Event>(body)
        .ok()
        .and_then(|event| own_id(event.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_time_and_any_number_of_signatures() {
        let mac = "ab".repeat(32);
        let header = format!("t=12,v1={mac},v1={mac},v0={mac}");
        let (timestamp, candidates) = elements(&header).unwrap();
        assert_eq!((timestamp, candidates.macs.len()), ("12", 2));
        for bad in [
            "",
            "t=1",
            &format!("v1={mac}"),
            &format!("t=1,t=2,v1={mac}"),
            &format!("t=1,v0={mac}"),
            &format!("t=1,{mac}"),
            "t=1,v1=zz",
            &format!("t=1{}", format!(",v1={mac}").repeat(MAX_SIGNATURES + 1)),
        ] {
            assert!(elements(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn an_event_is_recognised_by_its_own_id() {
        assert_eq!(event_id(br#"{"id":"evt_1"}"#).as_deref(), Some("evt_1"));
        for body in [&b"{}"[..], b"[]", br#"{"id":7}"#, br#"{"id":""}"#] {
            assert_eq!(event_id(body), None);
        }
    }
}
