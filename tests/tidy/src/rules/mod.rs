//! One file a rule.

mod alerts;
mod determinism;
mod docs;
mod drivers;
mod layering;
mod length;
mod naming;
mod runners;
mod shape;

pub use alerts::alerts;
pub use determinism::determinism;
pub use docs::docs;
pub use drivers::drivers;
pub use layering::layering;
pub use length::length;
pub use naming::naming;
pub use runners::{migrations, runners};
pub use shape::{domain_shape, projection_shape};
