//! Shopify: HMAC-SHA256 over the body alone, in base64. Neither the event's id
//! nor its topic is signed; so a repeat is recognised by the body and the id
//! together, and the topic counts only where the source names no event type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::{is_token, only};
use crate::key::{Candidates, Key, matching_key};

pub(crate) const SIGNATURE: &str = "x-shopify-hmac-sha256";
const EVENT_ID: &str = "x-shopify-event-id";
const TOPIC: &str = "x-shopify-topic";
/// Which store it was, for whoever looks into it; not signed.
const DOMAIN: &str = "x-shopify-shop-domain";

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let signature = only(presented.headers, SIGNATURE).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let event_id = only(presented.headers, EVENT_ID)
        .filter(|id| is_token(id))
        .ok_or(NotAuthentic::bad(
            "the event id header is missing, repeated or malformed",
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
    let mut headers = vec![
        (SIGNATURE.to_owned(), signature.to_owned()),
        (EVENT_ID.to_owned(), event_id.to_owned()),
    ];
    let topic = only(presented.headers, TOPIC).filter(|topic| is_token(topic));
    let domain = only(presented.headers, DOMAIN).filter(|domain| is_token(domain));
    for (name, value) in [(TOPIC, topic), (DOMAIN, domain)] {
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    Ok(Authentic {
        auth: Auth::HmacSha256,
        key_id: key.id.clone(),
        delivery_id: format!("{}:{event_id}", presented.body_sha256),
        headers,
        event_type: topic.map(str::to_owned),
    })
}
