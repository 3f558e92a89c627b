//! What `fuzz` calls of the gateway. No part of its interface.

use bytes::Bytes;
use platform_http::Problem;
use platform_http::axum::http::HeaderMap;
use platform_webhooks::{Auth, Authentic};
use serde_json::Value;

pub use crate::answers::IdempotencyKey;
pub use crate::ingest::json::{NotJson, parse};
pub use crate::ingest::limit::{content_type, declared_length};
pub use crate::invoke::{Ask, Wanted};

use crate::ingest::batch::{Form, cloud_events, form, lines};

/// The id, the bytes and the value of each delivery in a batch, of which there
/// may be `limit`.
///
/// # Errors
/// As the gateway answers.
pub fn batch(
    headers: &HeaderMap,
    body: &Bytes,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>, Value)>, Problem> {
    let items = match form(headers)? {
        Form::Lines => {
            let authentic = Authentic {
                auth: Auth::Bearer,
                key_id: "k".to_owned(),
                delivery_id: "b".to_owned(),
                headers: Vec::new(),
                event_type: None,
            };
            lines(body, &authentic, limit)?
        }
        Form::CloudEvents => cloud_events(body, limit)?,
    };
    let items = items.into_iter();
    let items = items.map(|item| (item.delivery_id, item.bytes.to_vec(), item.parsed));
    Ok(items.collect())
}
