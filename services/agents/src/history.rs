//! The context history an agent is shown, asked of federation over HTTP.

use std::time::Duration;

use domain_kernel::{ContextId, CorrelationId, Space, TenantId};
use platform_config::{Agents as Settings, Secret, Tls};
use platform_http::{ClientOptions, reqwest};
use platform_resilience::{Backoff, Failure, Retry, retry};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::debug;

use crate::failure::ExecutionFailure;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the triggering context is waited for. It is on the log before the
/// execution is asked for, but the read side may be a moment behind.
const VISIBLE_WITHIN: Duration = Duration::from_secs(2);

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

#[derive(Debug)]
pub(crate) struct Federation {
    http: reqwest::Client,
    url: String,
    limit: u32,
    /// What this role shows; none where nobody need show anything.
    credential: Option<Secret>,
}

/// Whose history is asked for, and which delivery must be part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) space: &'a Space,
    pub(crate) subject: &'a str,
    /// None when nothing that came in led to it, as with a user's own question.
    pub(crate) correlation: Option<CorrelationId>,
}

/// What the agent is shown, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    pub(crate) shown: Vec<ContextId>,
    /// The `history` argument: each entry labelled as untrusted.
    pub(crate) argument: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    contexts: Vec<Context>,
}

#[derive(Debug, Deserialize)]
struct Context {
    context_id: ContextId,
    kind: String,
    at: String,
    content: Value,
    #[serde(default)]
    correlation_id: Option<CorrelationId>,
}

#[derive(Debug, thiserror::Error)]
enum Unavailable {
    #[error("federation cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("federation answered {0}")]
    Status(u16),
    #[error("the answer of federation cannot be read")]
    Malformed(#[source] reqwest::Error),
    #[error("the triggering context is not visible yet")]
    NotVisible(History),
}

impl Federation {
    pub(crate) fn new(
        settings: &Settings,
        tls: &Tls,
        credential: Option<Secret>,
    ) -> Result<Self, platform_http::Error> {
        Ok(Self {
            http: platform_http::peer_client(
                ClientOptions::with_timeout(CALL_TIMEOUT),
                tls,
                "federation",
            )?,
            url: format!(
                "{}/v1/contexts",
                settings.federation_url.trim_end_matches('/')
            ),
            limit: settings.history_limit,
            credential,
        })
    }

    /// Asks until there is an answer that includes the triggering context. When
    /// that does not show up in a moment, what there is must do: a delivery that
    /// was merged into an earlier context has none of its own.
    pub(crate) async fn history(
        &self,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<History, ExecutionFailure> {
        let settings = Retry {
            backoff: BACKOFF,
            max_attempts: u32::MAX,
            deadline: Some(deadline),
        };
        let visible_until = Instant::now() + VISIBLE_WITHIN;
        let answer = retry(settings, None, |_| async {
            let contexts = self.ask(question).await?;
            let visible = question.correlation.is_none_or(|correlation| {
                contexts
                    .iter()
                    .any(|context| context.correlation_id == Some(correlation))
            });
            let history = shown(contexts);
            if visible || Instant::now() >= visible_until {
                return Ok(history);
            }
            Err(Failure::transient(Unavailable::NotVisible(history)))
        })
        .await;
        match answer {
            Ok(history) => Ok(history),
            // Out of time for asking again, not out of answers.
            Err(Unavailable::NotVisible(history)) => Ok(history),
            Err(error) => Err(ExecutionFailure::new(
                "unreachable",
                format!("the context history is not available: {error}"),
            )),
        }
    }

    async fn ask(&self, question: Question<'_>) -> Result<Vec<Context>, Failure<Unavailable>> {
        let limit = self.limit.to_string();
        let url = with_query(
            &self.url,
            &[
                ("tenant", question.tenant.as_str()),
                ("space", question.space.as_str()),
                ("subject", question.subject),
                ("limit", &limit),
            ],
        );
        let mut request = self.http.get(url);
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential.expose());
        }
        if let Some(traceparent) = platform_telemetry::current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        let response = request
            .send()
            .await
            .map_err(|error| Failure::transient(Unavailable::Unreachable(error)))?;
        let status = response.status();
        if !status.is_success() {
            debug!(http.status = status.as_u16(), "federation gives no history");
            let error = Unavailable::Status(status.as_u16());
            return Err(if status.is_client_error() && status != 429 {
                Failure::Final(error)
            } else {
                Failure::transient(error)
            });
        }
        let answer: Answer = response
            .json()
            .await
            .map_err(|error| Failure::transient(Unavailable::Malformed(error)))?;
        Ok(answer.contexts)
    }
}

/// `url` with a query of percent-encoded values.
fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let mut full = url.to_owned();
    for (position, (name, value)) in pairs.iter().enumerate() {
        full.push(if position == 0 { '?' } else { '&' });
        full.push_str(name);
        full.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                full.push(char::from(byte));
            } else {
                full.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    full
}

fn shown(mut contexts: Vec<Context>) -> History {
    // RFC 3339 in UTC sorts as text.
    contexts.sort_by(|a, b| (&a.at, a.context_id).cmp(&(&b.at, b.context_id)));
    let shown = contexts.iter().map(|context| context.context_id).collect();
    let argument = contexts
        .into_iter()
        .map(|context| {
            json!({
                "context_id": context.context_id.to_string(),
                "kind": context.kind,
                "at": context.at,
                "content": context.content,
                "_untrusted": true,
            })
        })
        .collect();
    History { shown, argument }
}

#[cfg(test)]
mod tests;
