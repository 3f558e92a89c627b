//! A token in `Authorization: Bearer`. It says who opened the connection and
//! nothing of the body, so a delivery is recorded as `bearer`, never as signed,
//! and the token is not among what is kept of it.

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::only;
use crate::idempotency_key::delivery_id;
use crate::key::{Key, key_of_token};

pub(crate) const HEADER: &str = "authorization";
const SCHEME: &str = "bearer";

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let token = only(presented.headers, HEADER)
        .and_then(token)
        .ok_or(NotAuthentic::bad("there is no bearer token, or not one"))?;
    let key = key_of_token(keys, presented.now, token).ok_or(NotAuthentic::bad(
        "the token is not one of the source's valid ones",
    ))?;
    let (delivery_id, headers) = delivery_id(presented)?;
    Ok(Authentic {
        auth: Auth::Bearer,
        key_id: key.id.clone(),
        delivery_id,
        headers,
        event_type: None,
    })
}

fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}
