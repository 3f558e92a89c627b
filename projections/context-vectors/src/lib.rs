//! Context embeddings in a usearch index, one index and one file a partition of
//! `mesh.contexts`.
//!
//! [`Indexes`] is for whoever decides over contexts: it holds the indexes of the
//! partitions it is asked about, in memory and complete up to the end of the log,
//! and what was decided but is not on the log yet. [`ContextVectors`] is the same
//! read model for whoever rebuilds it or asks for its digest.

mod apply;
mod error;
mod file;
mod follow;
mod index;
mod live;
mod project;
mod query;

pub use apply::ContextVectors;
pub use error::Error;
pub use index::PartitionIndex;
pub use live::Indexes;
pub use project::{Change, Entry, Merge, figures, profile, project};
pub use query::{Candidate, Placement};

/// The topic the indexes are folds of.
pub(crate) const TOPIC: &str = "mesh.contexts";
