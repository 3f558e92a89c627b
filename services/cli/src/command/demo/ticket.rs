//! The ticket the demo sends, and its signature after Standard Webhooks.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_kernel::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use platform_http::reqwest::{RequestBuilder, header};
use serde_json::json;
use sha2::Sha256;

pub(super) struct Ticket {
    id: String,
    body: Vec<u8>,
}

impl Ticket {
    /// A ticket of its own for every run: the numbers in it follow from the
    /// time, so that it is no repetition of an earlier one.
    pub(super) fn new(now: Timestamp) -> Self {
        let number = now.as_millis() / 100 % 10_000_000;
        let id = format!("T-{number}");
        let order = number % 1_000_000;
        let cents = 2_000 + number % 30_000;
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let body = json!({
            "event_type": "support.ticket.created",
            "payload": {
                "ticket_id": id,
                "subject": format!("Charged twice for order {order}"),
                "body": format!(
                    "Hello, my card was charged {amount} EUR twice for order {order}. \
                     Please send one of the two payments back. Kind regards, Ada"
                ),
                "customer": { "name": "Ada Lovelace", "email": "ada@example.com" },
                "amount": amount,
                "currency": "EUR",
            },
        });
        Self {
            body: body.to_string().into_bytes(),
            id,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The request with body and signature: HMAC-SHA256 over `id.timestamp.body`
    /// under the secret's base64 part.
    pub(super) fn signed(
        &self,
        request: RequestBuilder,
        secret: &str,
        now: Timestamp,
    ) -> anyhow::Result<RequestBuilder> {
        let key = secret
            .strip_prefix("whsec_")
            .and_then(|text| STANDARD.decode(text).ok())
            .context("the demo's signing secret is not whsec_ and base64")?;
        let id = format!("msg_{}", self.id);
        let seconds = now.as_millis() / 1_000;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(&self.body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        Ok(request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "Zapier")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(self.body.clone()))
    }
}
