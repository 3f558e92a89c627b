//! Circuit breaker and retry for calls over the network, token buckets for calls
//! that come in.
//!
//! All are driven by values they are given: breaker and buckets take the time of
//! each call, the back-off takes its random numbers. The async wrappers read tokio's
//! clock, which tests can pause.

mod backoff;
mod breaker;
mod bucket;
mod buckets;
mod budget;
mod circuit;
mod retry;

pub use backoff::Backoff;
pub use breaker::{Admission, BreakerSettings, CircuitBreaker, CircuitState, Outcome};
pub use bucket::{Bucket, Quota, Standing};
pub use buckets::Buckets;
pub use budget::RetryBudget;
pub use circuit::{Circuit, Permit, Refused};
pub use retry::{Failure, Retry, retry};
