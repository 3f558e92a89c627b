//! HTTP as every role uses it: one server with TLS, limits before parsing and a
//! graceful drain, one client, problem details (RFC 9457), health and readiness.

mod body;
mod client;
mod error;
mod health;
mod observe;
mod ops;
mod outbound;
mod problem;
mod server;
mod tls;

pub use axum;
pub use body::{Json, read_body};
pub use client::{ClientOptions, client, peer_client};
pub use error::Error;
pub use health::{Component, ComponentState, Readiness};
pub use observe::AccessFields;
pub use ops::serve_ops;
pub use outbound::{NotPermitted, Outbound};
pub use problem::{CONTENT_TYPE as PROBLEM_CONTENT_TYPE, Problem};
pub use reqwest;
#[doc(hidden)]
pub use server::fuzzing;
pub use server::{
    ClientAddress, Limits, Listener, bind, layered, listen, network, redirect_to, serve,
};
pub use tls::{CertificateInfo, ClientIdentity};
