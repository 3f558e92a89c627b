//! HTTP server and client: limits, timeouts, drain, problem+json, health.
