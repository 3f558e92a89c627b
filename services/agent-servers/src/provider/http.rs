//! One JSON call to a provider: repeated while the provider is busy, counted by
//! its circuit, and with an error that says what the provider said.

use std::time::Duration;

use platform_http::reqwest;
use platform_http::reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use platform_resilience::{Backoff, Circuit, Failure, Retry, retry};
use serde_json::Value;
use tokio::time::Instant;

use super::ProviderError;

/// For one call of the provider.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// For all calls of one task.
const TASK_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;

const MESSAGE_LIMIT: usize = 200;

#[cfg(not(test))]
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(20));
#[cfg(test)]
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));

/// Posts `body` and returns the answer's body.
pub(super) async fn post_json(
    http: &reqwest::Client,
    circuit: &Circuit,
    url: &str,
    headers: &[(&'static str, String)],
    body: &Value,
) -> Result<Value, ProviderError> {
    let settings = Retry {
        backoff: BACKOFF,
        max_attempts: 4,
        deadline: Some(Instant::now() + TASK_TIMEOUT),
    };
    retry(settings, None, |_| async {
        let Ok(permit) = circuit.admit() else {
            return Err(Failure::Final(ProviderError::CircuitOpen));
        };
        let result = once(http, url, headers, body).await;
        // An answer that says no is an answer: only silence and failures count.
        match &result {
            Err(Failure::Transient { .. }) => permit.failure(),
            _ => permit.success(),
        }
        result
    })
    .await
}

async fn once(
    http: &reqwest::Client,
    url: &str,
    headers: &[(&'static str, String)],
    body: &Value,
) -> Result<Value, Failure<ProviderError>> {
    let mut request = http.post(url).json(body);
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Failure::Final(ProviderError::Malformed(format!(
                "the setting for header {name} has characters a header cannot have"
            )))
        })?;
        value.set_sensitive(true);
        request = request.header(*name, value);
    }
    let unreachable = |error: reqwest::Error| {
        // The address may hold what the operator considers private.
        Failure::transient(ProviderError::Unreachable(error.without_url()))
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Failure::Final(ProviderError::Malformed(
                "it is too long".to_owned(),
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Final(ProviderError::Malformed(format!("it is not JSON: {error}")))
        });
    }
    let error = ProviderError::Status {
        status: status.as_u16(),
        message: message(&bytes),
    };
    // 529 is Anthropic's "overloaded". An exhausted quota is a 429 that waiting
    // does not mend.
    let busy = status == 408 || status == 409 || status == 429 || status.is_server_error();
    if busy && !out_of_quota(&bytes) {
        Err(Failure::Transient { error, retry_after })
    } else {
        Err(Failure::Final(error))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    if let Some(millis) = headers.get("retry-after-ms") {
        let millis = millis.to_str().ok()?.trim().parse().ok()?;
        return Some(Duration::from_millis(millis));
    }
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// All three providers put their message at `/error/message`.
fn message(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let message = parsed
        .as_ref()
        .and_then(|body| body.pointer("/error/message"))
        .and_then(Value::as_str)
        .unwrap_or("no message");
    message.chars().take(MESSAGE_LIMIT).collect()
}

fn out_of_quota(body: &[u8]) -> bool {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    parsed
        .as_ref()
        .and_then(|body| body.pointer("/error/code"))
        .is_some_and(|code| code == "insufficient_quota")
}
