//! CEL conditions and mappings over JSON.
//!
//! The standard library of CEL is there, and its `strings`, `math` and `lists`
//! extensions. Compile once, evaluate often; an [`Expression`] can be shared.

mod error;
mod expression;
mod json;

pub use error::Error;
pub use expression::{Expression, MAX_LENGTH};
