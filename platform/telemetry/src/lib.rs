//! Logs, traces and metrics of one process, and its clock.
//!
//! Spans always have W3C ids, so that a trace goes on through HTTP headers,
//! record headers and MCP `_meta` whether or not anything is exported.

mod clock;
mod error;
mod export;
mod init;
pub mod names;
mod prometheus;
mod traceparent;

pub use clock::now;
pub use error::Error;
pub use init::{Guard, init};
pub use prometheus::{install_recorder, render_prometheus};
pub use traceparent::{
    current_traceparent, span_link, span_number, span_with_parent, valid_traceparent,
};
