//! What HubSpot's answers mean for the write.

use std::time::Duration;

use platform_http::reqwest::{Error, Response, StatusCode, header};
use serde_json::Value;

use crate::connector::CallError;

/// HubSpot's own status for an account that is being moved.
const MIGRATING: u16 = 477;
const LOCKED_FOR: Duration = Duration::from_secs(2);
/// What is asked for beyond this is not believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// An answer about the request.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Done(Value),
    NotFound(String),
    Conflict(String),
    Unauthorised(String),
    Rejected(String),
    TooMany(Option<Duration>),
}

/// Whether the system was up to answering.
#[derive(Debug, PartialEq)]
pub(super) enum Reached {
    Answered(Answer),
    Unwell(CallError),
}

impl Answer {
    pub(super) fn into_error(self) -> CallError {
        let (code, reason) = match self {
            Self::TooMany(retry_after) => {
                return CallError::NotDone {
                    reason: "the rate limit is reached".to_owned(),
                    retry_after,
                };
            }
            Self::Done(_) => ("invalid-answer", "an answer of another kind".to_owned()),
            Self::NotFound(reason) => ("not-found", reason),
            Self::Conflict(reason) => ("conflict", reason),
            Self::Unauthorised(reason) => ("unauthorised", reason),
            Self::Rejected(reason) => ("rejected", reason),
        };
        CallError::Refused { code, reason }
    }
}

/// Sorts a response by its status.
pub(super) async fn judge(response: Response) -> Result<Reached, Error> {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = response.bytes().await?;
    if status.is_success() {
        // 204 has no body.
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        return Ok(Reached::Answered(Answer::Done(value)));
    }
    let reason = reason(status, &body);
    Ok(match status {
        StatusCode::NOT_FOUND => Reached::Answered(Answer::NotFound(reason)),
        StatusCode::CONFLICT => Reached::Answered(Answer::Conflict(reason)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Reached::Answered(Answer::Unauthorised(reason))
        }
        StatusCode::TOO_MANY_REQUESTS => Reached::Answered(Answer::TooMany(retry_after)),
        // Locked for two seconds by a mass update, or moving to another data centre.
        StatusCode::LOCKED => not_done(reason, retry_after.or(Some(LOCKED_FOR))),
        status if status.as_u16() == MIGRATING => not_done(reason, retry_after),
        // Who says when to come back has turned the request away. Without that, a
        // 503 may as well be a proxy's that lost its backend halfway.
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => not_done(reason, retry_after),
        StatusCode::REQUEST_TIMEOUT => Reached::Unwell(CallError::InDoubt { reason }),
        status if status.is_server_error() => Reached::Unwell(CallError::InDoubt { reason }),
        _ => Reached::Answered(Answer::Rejected(reason)),
    })
}

fn not_done(reason: String, retry_after: Option<Duration>) -> Reached {
    Reached::Unwell(CallError::NotDone {
        reason,
        retry_after,
    })
}

/// A call that never connected was not done; one that broke later may have been.
pub(super) fn in_doubt_or_not_done(error: &Error) -> CallError {
    let reason = describe(error);
    if error.is_connect() || error.is_builder() {
        CallError::NotDone {
            reason,
            retry_after: None,
        }
    } else {
        CallError::InDoubt { reason }
    }
}

fn describe(error: &Error) -> String {
    if error.is_timeout() {
        return "the call timed out".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Bounded seconds, as RFC 9110 section 10.2.3 has them; a date is not understood.
fn retry_after(response: &Response) -> Option<Duration> {
    response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
        .map(|seconds: u64| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// HubSpot's `message`, bounded, with the status before it.
fn reason(status: StatusCode, body: &[u8]) -> String {
    let message: String = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|body| body.get("message")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
        .chars()
        .take(500)
        .collect();
    format!("{}: {message}", status.as_u16())
}
