//! What policy decided. Facts only: the decision itself is Rego, evaluated by
//! whoever asked, over the bundle named here.

mod error;
mod event;

pub use error::InvalidDecision;
pub use event::{PolicyDecided, PolicyEvent};
