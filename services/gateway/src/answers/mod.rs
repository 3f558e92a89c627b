//! `Idempotency-Key`: what was asked once under a key is done once, and whoever
//! asks again gets the answer that was given.
//!
//! Postgres is the authority and keeps answers for a week; Redis in front saves
//! it the question. Losing Redis changes nothing but speed; without Postgres
//! nothing is done under a key, because nobody could tell whether it was.

mod key;
mod store;

pub use key::IdempotencyKey;
pub(crate) use store::{Answers, Claimed, Given, Lease};
