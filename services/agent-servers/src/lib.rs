//! The three bundled agents as MCP servers.
