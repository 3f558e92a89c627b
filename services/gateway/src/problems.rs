//! The problems a sender may meet beside the general ones; `docs/problems.md`
//! explains each.

use domain_kernel::DecisionId;
use platform_http::Problem;
use platform_http::axum::http::{HeaderValue, StatusCode, header};

/// Seconds after which a repeat of a delivery in flight is worth sending again.
const IN_FLIGHT_RETRY: u64 = 1;
/// Seconds after which something that is away is worth another try.
const AWAY_RETRY: u64 = 2;

/// One and the same for every failure to authenticate, so that a stranger
/// learns neither which sources exist nor what was wrong.
pub(crate) fn not_authentic() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "not-authentic",
        "The delivery could not be authenticated",
    )
    .header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Webhook-Signature"),
    )
}

pub(crate) fn not_json(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "not-json",
        "The body is not the JSON it is declared to be",
    )
    .detail(detail)
}

pub(crate) fn other_body() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "id-reused",
        "Another body was delivered under this id before",
    )
}

pub(crate) fn in_flight() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "in-flight",
        "A delivery with this id is being handled",
    )
    .retry_after_seconds(IN_FLIGHT_RETRY)
}

pub(crate) fn policy_denied(decision_id: DecisionId) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "policy-denied",
        "Policy does not allow this delivery",
    )
    .with("decision_id", decision_id.to_string())
}

pub(crate) fn policy_unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "policy-unavailable",
        "Policy could not be asked",
    )
    .retry_after_seconds(AWAY_RETRY)
}

pub(crate) fn log_unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "log-unavailable",
        "The delivery could not be stored",
    )
    .detail("nothing was remembered; send the same delivery again")
    .retry_after_seconds(AWAY_RETRY)
}

pub(crate) fn source_unusable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "The service is not available now",
    )
    .retry_after_seconds(AWAY_RETRY)
}

pub(crate) fn batch_too_long(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "batch-too-long",
        "The batch holds too many events",
    )
    .with("limit_events", limit)
}

pub(crate) fn not_acceptable() -> Problem {
    Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not-acceptable",
        "There is no answer in an accepted form",
    )
    .detail("answers are application/json or text/event-stream")
}

/// Under an `Idempotency-Key`, what [`other_body`] is under a delivery's id.
pub(crate) fn key_reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "key-reused",
        "Another request was made under this Idempotency-Key before",
    )
}

pub(crate) fn request_in_flight() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "request-in-flight",
        "A request with this Idempotency-Key is being handled",
    )
    .retry_after_seconds(IN_FLIGHT_RETRY)
}

pub(crate) fn question_not_stored() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "log-unavailable",
        "The request could not be stored",
    )
    .detail("send the same request again, under the same Idempotency-Key")
    .retry_after_seconds(AWAY_RETRY)
}

pub(crate) fn question_denied(decision_id: DecisionId) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "policy-denied",
        "Policy does not allow this request",
    )
    .with("decision_id", decision_id.to_string())
}

/// The agent did not answer. What the caller asked wrongly is the caller's to
/// mend; what the agent could not do is not.
pub(crate) fn agent_failed(code: &str) -> Problem {
    match code {
        "deadline" => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "agent-deadline",
            "The agent did not answer in time",
        ),
        "unreachable" | "invalid-output" => Problem::new(
            StatusCode::BAD_GATEWAY,
            "agent-unavailable",
            "The agent gave no usable answer",
        ),
        _ => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "agent-refused",
            "The agent did not do what was asked",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every problem this service can answer with is explained to its readers.
    #[test]
    fn every_problem_is_documented() {
        let documented = include_str!("../../../docs/problems.md");
        for problem in [
            not_authentic(),
            not_json(""),
            other_body(),
            in_flight(),
            policy_denied(DecisionId::derive(&["d"])),
            policy_unavailable(),
            log_unavailable(),
            source_unusable(),
            not_acceptable(),
            batch_too_long(1),
            key_reused(),
            request_in_flight(),
            question_not_stored(),
            question_denied(DecisionId::derive(&["d"])),
            agent_failed("deadline"),
            agent_failed("unreachable"),
            agent_failed("tool-error"),
            platform_identity::not_authentic(),
            platform_identity::insufficient_scope("read"),
            crate::limits::rate_limited("source", 1),
            crate::limits::overloaded(),
            Problem::headers_too_large(),
            Problem::bad_request(""),
            Problem::not_found(""),
            Problem::method_not_allowed(),
            Problem::request_timeout(),
            Problem::too_large(1),
            Problem::unsupported_media_type(""),
            Problem::internal(),
        ] {
            let row = format!("| `{}` | {} |", problem.slug, problem.status.as_u16());
            assert!(documented.contains(&row), "{row} is missing");
        }
    }
}
