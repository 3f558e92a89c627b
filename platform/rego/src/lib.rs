//! Rego, evaluated in process by regorus.
//!
//! A [`Bundle`] is a set of modules with their data, compiled once and named by
//! its digest. [`Engine::evaluate`] asks it a question. Whatever goes wrong is
//! an error, never an answer: the caller fails closed.

mod bundle;
mod cache;
mod digest;
mod engine;
mod error;

pub use bundle::Bundle;
pub use cache::Bundles;
pub use engine::{ENGINE, Engine, Evaluation};
pub use error::Error;
