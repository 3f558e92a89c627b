//! Runs agent tools over MCP and records what they answered.
