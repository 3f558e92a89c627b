//! Circuit breaker and retry for calls over the network, token buckets for calls
//! that come in.
//!
//! All are driven by values they are given: the breaker takes the time of each
//! call, a limiter its clock, the back-off its random numbers. The async wrappers
//! read tokio's clock, which tests can pause.

mod backoff;
mod breaker;
mod budget;
mod circuit;
mod limiter;
mod retry;
mod store;

pub use backoff::Backoff;
pub use breaker::{Admission, BreakerSettings, CircuitBreaker, CircuitState, Outcome};
pub use budget::RetryBudget;
pub use circuit::{Circuit, Permit, Refused};
pub use governor::Quota;
pub use limiter::{Limiter, Standing, quota};
pub use retry::{Failure, Retry, retry};
