//! MCP client and server over streamable HTTP.
