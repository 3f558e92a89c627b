//! A vector index in memory, kept in one checksummed file.
//!
//! New vectors wait in a tail that is searched exactly and move into the usearch
//! graph when there is time: putting one into the graph costs several searches.
//! Cosines are always computed from the stored vectors in 64-bit arithmetic, so
//! a neighbour found through the graph and one found by looking at every vector
//! have the same cosine to the last bit.

mod error;
mod file;
mod index;

pub use error::Error;
pub use index::{Match, VectorIndex};
