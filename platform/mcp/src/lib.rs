//! MCP over streamable HTTP, both sides.
//!
//! Revision 2026-07-28 is spoken first: stateless, one POST a call. Peers that
//! only know 2025-11-25 are served and called with its `initialize` handshake.

mod client;
mod error;
mod server;
mod session;

pub use client::{McpClient, ToolAnswer, ToolCall};
pub use error::Error;
pub use server::{IncomingCall, ServerOptions, ToolFailure, ToolSpec, Toolbox, router};

/// The `_meta` key under which a call carries the id it can be repeated by.
pub const IDEMPOTENCY_KEY: &str = "cloud.agentmesh/idempotency-key";
