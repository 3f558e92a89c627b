//! A repeat of a delivery gets the answer the first one got.
//!
//! Three places remember: a set in this process, Redis for all gateways, and
//! the read model of deliveries in Postgres, which holds everything that was
//! ever accepted but lags a little behind the log. Redis and Postgres may each
//! be away; what was accepted twice all the same has one event id, so readers
//! drop the second.

mod claim;
mod gather;
mod local;
mod many;
mod marks;
mod recall;
mod remember;
mod stores;

pub(crate) use claim::{Answer, BodyDigest, Claim, Idempotency};
pub(crate) use remember::Remembering;
