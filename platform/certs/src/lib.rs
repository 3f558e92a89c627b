//! A certificate authority for development and tests: one authority for a mesh,
//! a certificate for each role with the names by which its peers know it.
//!
//! In production certificates come from whoever issues them there; what the
//! mesh needs of them is only the names described at [`RoleNames`].

mod authority;
mod error;
mod store;

pub use authority::{Authority, Issued, Request, RoleNames};
pub use error::Error;
pub use store::{Store, TrustedFor};
