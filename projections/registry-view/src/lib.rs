//! The registry, folded in memory from `mesh.registry`.
//!
//! [`RegistryView::follow`] reads the topic from its start and goes on following
//! it. [`RegistryView::snapshot`] is what is registered now: immutable, cheap to
//! take, and the same for as long as it is held.

mod apply;
mod directory;
mod error;
mod follow;
mod project;
mod query;

pub use apply::Snapshot;
pub use error::Error;
pub use follow::{Awaited, RegistryView};
pub use project::{Change, project};
pub use query::{BundleMaterial, Entry, Registered, Subscriber, secret_context};
