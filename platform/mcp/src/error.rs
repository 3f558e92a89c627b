use std::time::Duration;

/// Why a tool has not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server could not be reached, or the connection broke. The tool may
    /// have run: repeat the call only under the same idempotency key.
    #[error("agent server cannot be reached: {reason}")]
    Unreachable {
        reason: String,
        /// When the server said how long to wait.
        retry_after: Option<Duration>,
    },
    /// What answered does not speak MCP, or refused the request as such.
    #[error("agent server refused the call: {reason}")]
    Protocol { reason: String },
    /// The tool ran and says that it failed.
    #[error("tool failed: {message}")]
    Tool { message: String },
    #[error("tool answered without structured content")]
    NoStructuredContent,
    #[error("no answer before the deadline")]
    Deadline,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the HTTP client cannot be built")]
    Http(#[source] platform_http::Error),
}

impl Error {
    /// Whether the same call, repeated, may fare better.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
