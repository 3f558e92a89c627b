//! HTTP as every role uses it: one server with limits before parsing and a
//! graceful drain, one client, problem details (RFC 9457), health and readiness.

mod body;
mod client;
mod error;
mod health;
mod identity;
mod observe;
mod ops;
mod problem;
mod server;

pub use axum;
pub use body::{Json, read_body};
pub use client::{ClientOptions, client};
pub use error::Error;
pub use health::{Component, ComponentState, Readiness};
pub use identity::ClientIdentity;
pub use ops::serve_ops;
pub use problem::{CONTENT_TYPE as PROBLEM_CONTENT_TYPE, Problem};
pub use reqwest;
pub use server::{Limits, bind, layered, serve};
