//! What acts on the outside world: requests in, answers out, many at once.

mod cancel;
mod journal;
mod ownership;
mod progress;
mod recovery;
mod runner;
mod work;

use std::future::Future;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Outgoing, Record};

pub use cancel::{CancelReason, Cancellation};
pub use journal::Journal;
pub use runner::{migrate_executor, run_executor};

use crate::Failure;

/// Carries out requests, each to its final answer.
///
/// Requests are read in order and carried out many at once, so they finish out
/// of order: the checkpoint stands at the lowest unfinished one. Every answer is
/// appended and acknowledged through the [`Journal`] before `execute` goes on.
/// After a restart a request that has its final answer in the answer topic is
/// skipped; one that has only earlier answers is executed again with these as
/// its `history`, and it is for the executor to find out what became of the
/// outside call (its idempotency key is the request's event id).
pub trait Executor: Sized + Send + Sync + 'static {
    type Request: Clone + Send + Sync + 'static;
    type Answer: Clone + Send + Sync + 'static;
    /// Names the consumer group and, with `-` turned into `_`, the Postgres schema.
    const NAME: &'static str;

    /// The topics read, without prefix.
    fn topics(&self) -> Vec<&'static str>;

    /// The one topic answers go to. Nobody else writes to it.
    fn answer_topic(&self) -> &'static str;

    /// The `ce_source` of the answers.
    fn source(&self) -> &'static str;

    /// How many requests are carried out at once.
    fn concurrency(&self) -> usize;

    /// Reads a request; none when it is not of interest.
    fn decode(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Option<Recorded<Self::Request>>, DecodeError>> + Send;

    /// Reads a record of the answer topic.
    fn decode_answer(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Recorded<Self::Answer>, DecodeError>> + Send;

    /// An answer as a record of the answer topic.
    fn encode_answer(
        &self,
        recorded: &Recorded<Self::Answer>,
    ) -> Result<Outgoing, platform_log::Error>;

    /// The stream of the answer topic that answers this request.
    fn stream(&self, request: &Recorded<Self::Request>) -> String;

    /// Whether nothing follows after this answer.
    fn is_final(&self, answer: &Self::Answer) -> bool;

    /// The stream whose execution this request calls off. Such a request is not
    /// executed itself: the running execution's cancellation is triggered with
    /// [`CancelReason::Requested`], and a waiting one finds it triggered.
    fn cancels(&self, _request: &Recorded<Self::Request>) -> Option<String> {
        None
    }

    /// Requests with the same key are carried out one after another, in order.
    fn order_key(&self, _request: &Recorded<Self::Request>) -> Option<String> {
        None
    }

    /// Requests with the same key share a part of the places, so that one outside
    /// system that hangs leaves the others theirs.
    fn share_key(&self, _request: &Recorded<Self::Request>) -> Option<String> {
        None
    }

    /// How many requests with the same `share_key` are carried out at once.
    fn places(&self) -> usize {
        self.concurrency()
    }

    /// Carries out one request and records its answers, the final one included.
    ///
    /// Returning `Ok` without a final answer means that it was interrupted by
    /// [`CancelReason::Shutdown`] and will be resumed. A transient failure is
    /// tried again after a wait, with what was recorded so far as `history`. A
    /// poison failure (or a panic) makes the request a dead letter, and nobody
    /// gets an answer: prefer to record a final failure.
    fn execute(
        &self,
        request: Recorded<Self::Request>,
        journal: &Journal<Self>,
        history: Vec<Recorded<Self::Answer>>,
        cancel: Cancellation,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
