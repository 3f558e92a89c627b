//! What the fuzzer calls. The same functions are run with the corpus, without the
//! fuzzer, by a test of the crate that each file is about.

mod headers;
mod webhooks;

pub use headers::headers;
pub use webhooks::{body, description, signature};
