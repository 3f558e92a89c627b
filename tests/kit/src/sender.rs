use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_kernel::CorrelationId;
use hmac::{Hmac, KeyInit, Mac};
use platform_config::Settings;
use platform_http::reqwest::{Client, header};
use platform_http::{ClientOptions, client};
use platform_testkit::eventually;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{KIND, SOURCE};

/// Every test source's secret.
pub(crate) const SECRET: &str = "whsec_ZmxvdyB0ZXN0cyBzaWduIHdpdGggdGhpcw==";

/// A support ticket as Zapier sends it.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The ticket's own id, which becomes the record's external id.
    pub id: String,
    /// Of the delivery; a repetition has the same.
    pub delivery_id: String,
    pub source: String,
    pub kind: String,
    /// The customer's address: whom the ticket is about.
    pub email: String,
    pub subject: String,
    pub text: String,
    pub amount: String,
}

impl Ticket {
    /// A ticket about an order of its own, from a customer of its own.
    pub fn new(id: &str) -> Self {
        let amount = "129.90".to_owned();
        Self {
            id: id.to_owned(),
            delivery_id: format!("msg_{id}"),
            source: SOURCE.to_owned(),
            kind: KIND.to_owned(),
            email: format!("{}@example.com", id.to_lowercase()),
            subject: "Charged twice".to_owned(),
            text: "My card was charged twice for one and the same order last week. \
                   Please send one of the two payments back to me soon. Kind regards, Ada"
                .to_owned(),
            amount,
        }
    }

    #[must_use]
    pub fn of_kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    #[must_use]
    pub fn from_source(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }

    pub fn correlation(&self) -> CorrelationId {
        CorrelationId::of_delivery(&self.source, &self.delivery_id)
    }

    pub fn body(&self) -> Vec<u8> {
        let body = json!({
            "event_type": self.kind,
            "payload": {
                "ticket_id": self.id,
                "subject": self.subject,
                "body": format!("{} The charge was {} EUR.", self.text, self.amount),
                "customer": { "name": "Ada Lovelace", "email": self.email },
                "amount": self.amount,
                "currency": "EUR",
            },
        });
        body.to_string().into_bytes()
    }
}

/// What the gateway answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// How long to wait before trying again, in seconds, if it says so.
    pub retry_after: Option<u64>,
    /// Whether it says that it is the answer of an earlier delivery.
    pub replayed: bool,
    pub body: Vec<u8>,
}

impl Answer {
    /// # Errors
    /// When the body is not JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// An automation tool in front of the gateway.
#[derive(Debug, Clone)]
pub struct Sender {
    http: Client,
    base: String,
}

impl Sender {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let base = format!("http://{}", settings.gateway.listen);
        Self::to(&base, ClientOptions::default())
    }

    /// One that sends to another address, or with other patience.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn to(base: &str, options: ClientOptions) -> anyhow::Result<Self> {
        Ok(Self::over(base, client(options)?))
    }

    /// One that sends through a client of its own.
    pub fn over(base: &str, http: Client) -> Self {
        Self {
            http,
            base: base.to_owned(),
        }
    }

    /// Signs a ticket properly and posts it, once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, ticket: &Ticket) -> anyhow::Result<Answer> {
        let body = ticket.body();
        let seconds = Self::now()?;
        let signature = Self::sign(&ticket.delivery_id, seconds, &body)?;
        self.post_raw(ticket, seconds, &signature, body).await
    }

    /// Posts what it is given under the ticket's delivery id and source.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_raw(
        &self,
        ticket: &Ticket,
        seconds: u64,
        signature: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let response = self
            .http
            .post(format!("{}/hooks/{}", self.base, ticket.source))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "Zapier")
            .header("webhook-id", &ticket.delivery_id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await?;
        let text = |name: &str| {
            let value = response.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: text("content-type").unwrap_or_default(),
            retry_after: text("retry-after").and_then(|text| text.parse().ok()),
            replayed: text("idempotent-replayed").as_deref() == Some("true"),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Posts a ticket again and again, as senders do, until it is accepted: the
    /// gateway may be away, or may not have seen the source yet.
    ///
    /// # Errors
    /// When it is not accepted in time.
    pub async fn deliver(&self, ticket: &Ticket) -> anyhow::Result<Answer> {
        let answer = eventually(Duration::from_secs(60), || async {
            let answer = self.post(ticket).await?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            ensure!(answer.status == 202, "{} {text}", answer.status);
            Ok(answer)
        });
        let answer = answer
            .await
            .with_context(|| format!("ticket {}", ticket.id))?;
        let told = answer.json()?["correlation_id"].clone();
        ensure!(
            told == ticket.correlation().to_string(),
            "correlation {told}"
        );
        Ok(answer)
    }

    /// What the gateway tells about a delivery.
    ///
    /// # Errors
    /// When there is no good answer.
    pub async fn progress(&self, correlation: CorrelationId) -> anyhow::Result<Value> {
        let url = format!("{}/v1/deliveries/{correlation}", self.base);
        let response = self.http.get(url).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }

    /// Seconds since 1970, as senders write their timestamps.
    ///
    /// # Errors
    /// When the clock is before that.
    pub fn now() -> anyhow::Result<u64> {
        Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
    }

    /// The signature of Standard Webhooks under the secret of all test sources.
    ///
    /// # Errors
    /// When the secret is no key.
    pub fn sign(id: &str, seconds: u64, body: &[u8]) -> anyhow::Result<String> {
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_"))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        Ok(format!("v1,{signature}"))
    }
}
