//! Circuit breaker and retry.
