//! What a runner stands on: a clock, the log, and the store of its checkpoints.
//!
//! The runners name only these traits, so that the same code runs on Kafka and
//! Postgres and, under a seed, in the simulation of [`crate::sim`], where any
//! await may be the last one. Dispatch is static.

mod log;
mod pg_store;
mod real;
mod store;

use std::future::Future;
use std::time::Duration;

use domain_kernel::Timestamp;
use platform_config::DeadLetters;

pub(crate) use log::{Append, Log, Member, Reader};
pub(crate) use pg_store::PgStore;
pub(crate) use real::{KafkaLog, Real};
pub(crate) use store::{StateRow, StateStore, Store, WriteError, settle};

use crate::ReadinessSink;

/// Time and chance, the two things a simulation has to own.
pub(crate) trait Clock: Clone + Send + Sync + 'static {
    /// The wall clock: stamps events, orders nothing.
    fn now(&self) -> Timestamp;

    /// Time that never steps back, since some moment before the start.
    fn ticks(&self) -> Duration;

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + Send;

    /// From 0 to 1, evenly: spreads the waits of those that failed together.
    fn spread(&self) -> f64;
}

/// What the step gives, or none when it takes longer than `limit`.
pub(crate) async fn within<C: Clock, T: Send>(
    clock: &C,
    limit: Duration,
    step: impl Future<Output = T> + Send,
) -> Option<T> {
    tokio::select! {
        biased;
        result = step => Some(result),
        () = clock.sleep(limit) => None,
    }
}

/// Everything outside of a runner.
pub(crate) trait World: Clone + Send + Sync + 'static {
    type Clock: Clock;
    type Log: Log;
    type Store: Store;

    fn clock(&self) -> &Self::Clock;
    fn log(&self) -> &Self::Log;
    fn store(&self) -> &Self::Store;
    fn readiness(&self) -> &ReadinessSink;

    /// What becomes of records that fail.
    fn dead_letters(&self) -> &DeadLetters;
}
