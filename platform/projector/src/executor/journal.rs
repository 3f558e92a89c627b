use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain_kernel::{EventId, Metadata, Recorded};
use platform_log::Producer;
use tokio::sync::Mutex;
use tracing::warn;

use super::ownership::{Ownership, gone};
use super::{Cancellation, Executor};
use crate::Failure;
use crate::error::chain;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where an execution records its answers.
pub struct Journal<E: Executor> {
    executor: Arc<E>,
    producer: Producer,
    request: Metadata,
    stream: String,
    answers: Mutex<Vec<Recorded<E::Answer>>>,
    finished: AtomicBool,
    ownership: Arc<Ownership>,
    cancel: Cancellation,
}

impl<E: Executor> std::fmt::Debug for Journal<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl<E: Executor> Journal<E> {
    pub(crate) fn new(
        executor: Arc<E>,
        producer: Producer,
        request: Metadata,
        stream: String,
        history: Vec<Recorded<E::Answer>>,
        ownership: Arc<Ownership>,
        cancel: Cancellation,
    ) -> Self {
        let finished = history
            .iter()
            .any(|answer| executor.is_final(&answer.event));
        Self {
            executor,
            producer,
            request,
            stream,
            answers: Mutex::new(history),
            finished: AtomicBool::new(finished),
            ownership,
            cancel,
        }
    }

    /// Appends an answer and returns once the broker has it, as the next version
    /// of the answer stream. While the broker is away it waits and tries again.
    ///
    /// # Errors
    /// Transient when interrupted by a shutdown while the broker was away, or when
    /// the partition went to another owner: end the execution. Poison when the
    /// answer does not encode or there is a final answer already.
    pub async fn record(&self, answer: E::Answer) -> Result<Recorded<E::Answer>, Failure> {
        let mut answers = self.answers.lock().await;
        if self.finished.load(Ordering::Acquire) {
            return Err(Failure::poison("there is a final answer already"));
        }
        let version = answers.last().map_or(0, |last| last.meta.version) + 1;
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::follows(self.request.id, "answer", version as usize),
                tenant: self.request.tenant.clone(),
                correlation: self.request.correlation,
                causation: Some(self.request.id),
                stream: self.stream.clone(),
                version,
                at: platform_telemetry::now(),
                source: self.executor.source().to_owned(),
                traceparent: platform_telemetry::current_traceparent()
                    .or_else(|| self.request.traceparent.clone()),
                actor: self.request.actor.clone(),
            },
            event: answer,
        };
        let outgoing = self
            .executor
            .encode_answer(&recorded)
            .map_err(Failure::poison)?;
        let mut wait = FIRST_WAIT;
        loop {
            if self.ownership.is_lost() {
                return Err(gone());
            }
            match self.producer.append(outgoing.clone()).await {
                Ok(_) => break,
                Err(error) if !error.is_transient() => return Err(Failure::poison(error)),
                Err(error) => {
                    warn!(stream.id = %self.stream, error = %chain(&error), "answer is not on the log yet");
                    if self.cancel.is_interrupted() {
                        return Err(Failure::transient(error));
                    }
                }
            }
            tokio::select! {
                () = self.cancel.interrupted() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        if self.executor.is_final(&recorded.event) {
            self.finished.store(true, Ordering::Release);
        }
        answers.push(recorded.clone());
        Ok(recorded)
    }

    /// Returns once it is certain that nobody else had this request a moment ago.
    /// To be awaited right before what cannot be taken back: a process that was
    /// stopped and goes on finds its last answer acknowledged, and what it was
    /// about to do done by another.
    ///
    /// # Errors
    /// Transient when the partition went to another owner, or when interrupted
    /// while Postgres was away: end the execution.
    pub async fn confirm_ownership(&self) -> Result<(), Failure> {
        self.ownership.confirm(&self.cancel).await
    }

    /// The stream of the answers.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    pub(crate) async fn answers(&self) -> Vec<Recorded<E::Answer>> {
        self.answers.lock().await.clone()
    }
}
