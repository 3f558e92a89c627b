//! Contexts in Redis for 24 h.
