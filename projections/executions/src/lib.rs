//! The agent execution log.
