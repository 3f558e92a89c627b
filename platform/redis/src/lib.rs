//! Redis: one multiplexed client, a key prefix that cannot be forgotten, and a
//! deadline on every call.
//!
//! Nothing in the mesh is only in Redis, so a call that fails is a value, never
//! a reason to wait: the caller falls back to what is durable. A client whose
//! server is away reconnects in the background and answers at once with
//! [`Error::Unavailable`] until it is back.

mod batch;
mod client;
mod error;
mod script;
mod tls;

pub use batch::Batch;
pub use client::{DEADLINE, Redis};
pub use error::Error;
pub use fred;
pub use script::Script;
