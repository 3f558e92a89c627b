//! One connection to one agent server, and what its errors mean.

use std::time::Duration;

use platform_http::reqwest;
use rmcp::model::{ClientCapabilities, ClientConfig, ErrorCode, Implementation, ProtocolVersion};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::{ErrorData, RoleClient};

use crate::Error;

/// Calls at once over one connection; more wait their turn.
const CONCURRENT_CALLS: usize = 256;

/// Bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;

/// Characters kept of what a server says went wrong.
const REASON_LIMIT: usize = 300;

pub(crate) type Session = RunningService<RoleClient, ClientConfig>;

/// Connects to `endpoint`, with the newest revision both sides know.
pub(crate) async fn connect(http: reqwest::Client, endpoint: &str) -> Result<Session, Error> {
    let config = StreamableHttpClientTransportConfig::with_uri(endpoint)
        .max_concurrent_requests(CONCURRENT_CALLS)
        .max_json_response_size(MAX_ANSWER)
        .max_sse_event_size(MAX_ANSWER)
        .reinit_on_expired_session(true);
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let mut client = ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("agentmesh", env!("CARGO_PKG_VERSION")),
    );
    client.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    client
        .serve_with_lifecycle(transport, lifecycle)
        .await
        .map_err(|error| not_connected(&error))
}

fn not_connected(error: &ClientInitializeError) -> Error {
    match error {
        ClientInitializeError::TransportError { error, .. } => not_sent(error.error.as_ref()),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => not_connected(fallback),
        ClientInitializeError::ConnectionClosed(_) => unreachable_because(error),
        ClientInitializeError::Cancelled => Error::Cancelled,
        other => Error::Protocol {
            reason: short(&other.to_string()),
        },
    }
}

/// What a failed call means for whoever made it.
pub(crate) fn not_called(error: &ServiceError) -> Error {
    match error {
        ServiceError::McpError(data) => refused(data),
        ServiceError::TransportSend(error) => not_sent(error.error.as_ref()),
        ServiceError::TransportClosed | ServiceError::Cancelled { .. } => {
            unreachable_because(error)
        }
        ServiceError::Timeout { .. } => Error::Deadline,
        other => Error::Protocol {
            reason: short(&other.to_string()),
        },
    }
}

fn refused(data: &ErrorData) -> Error {
    // The server's own failure while running the tool; whether the tool had any
    // effect is not known, but the same call would meet the same failure.
    if data.code == ErrorCode::INTERNAL_ERROR {
        return Error::Tool {
            message: short(&data.message),
        };
    }
    Error::Protocol {
        reason: short(&format!("{} ({})", data.message, data.code.0)),
    }
}

/// The transport wraps its error more than once; the innermost one that is
/// known decides.
fn not_sent(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut current = Some(error);
    while let Some(cause) = current {
        if let Some(http) = cause.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            return http_failure(http);
        }
        current = cause.source();
    }
    unreachable_because(error)
}

fn http_failure(error: &StreamableHttpError<reqwest::Error>) -> Error {
    match error {
        StreamableHttpError::HttpStatus(status) => Error::Unreachable {
            reason: format!("HTTP status {}", status.status),
            retry_after: status
                .retry_after
                .as_deref()
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        },
        StreamableHttpError::UnexpectedServerResponse(_)
        | StreamableHttpError::ResponseBodyTooLarge { .. }
        | StreamableHttpError::UnexpectedContentType(_)
        | StreamableHttpError::Deserialize(_)
        | StreamableHttpError::MissingSessionIdInResponse
        | StreamableHttpError::AuthRequired(_)
        | StreamableHttpError::InsufficientScope(_)
        | StreamableHttpError::ReinitializationFailed(_) => Error::Protocol {
            reason: short(&error.to_string()),
        },
        other => unreachable_because(other),
    }
}

fn unreachable_because(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some wrappers print their cause themselves.
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    Error::Unreachable {
        reason: short(&reason),
        retry_after: None,
    }
}

pub(crate) fn short(message: &str) -> String {
    match message.char_indices().nth(REASON_LIMIT) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
