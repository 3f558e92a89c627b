//! Why an execution fails: a stable code for programs, a reason for people.

use platform_mcp::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecutionFailure {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

impl ExecutionFailure {
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    pub(crate) fn deadline() -> Self {
        Self::new("deadline", "no answer before the deadline")
    }

    pub(crate) fn cancelled() -> Self {
        Self::new("cancelled", "the execution was called off")
    }
}

impl From<&Error> for ExecutionFailure {
    fn from(error: &Error) -> Self {
        let code = match error {
            Error::Deadline => return Self::deadline(),
            Error::Cancelled => return Self::cancelled(),
            Error::Tool { .. } => "tool-error",
            Error::NoStructuredContent => "invalid-output",
            Error::Protocol { .. } => "refused",
            Error::Unreachable { .. } | Error::Http(_) => "unreachable",
        };
        Self::new(code, error.to_string())
    }
}
