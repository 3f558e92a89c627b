use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain_kernel::{EventId, Metadata, Recorded};
use platform_log::{Position, Producer};
use tokio::sync::Mutex;
use tracing::warn;

use super::Executor;
use super::ownership::gone;
use super::work::Job;
use crate::Failure;
use crate::error::chain;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where an execution records its answers.
pub struct Journal<E: Executor> {
    executor: Arc<E>,
    producer: Producer,
    job: Arc<Job<E>>,
    answers: Mutex<Vec<Recorded<E::Answer>>>,
    finished: AtomicBool,
}

impl<E: Executor> std::fmt::Debug for Journal<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("stream", &self.job.stream)
            .finish_non_exhaustive()
    }
}

impl<E: Executor> Journal<E> {
    pub(crate) fn new(
        executor: Arc<E>,
        producer: Producer,
        job: Arc<Job<E>>,
        history: Vec<Recorded<E::Answer>>,
    ) -> Self {
        let finished = history
            .iter()
            .any(|answer| executor.is_final(&answer.event));
        Self {
            executor,
            producer,
            job,
            answers: Mutex::new(history),
            finished: AtomicBool::new(finished),
        }
    }

    /// Appends an answer and returns once the broker has it, as the next version
    /// of the answer stream. While the broker is away it waits and tries again.
    ///
    /// # Errors
    /// Transient when interrupted by a shutdown while the broker was away, when the
    /// partition went to another owner, or when an owner before this one turns out
    /// to have answered: end the execution. Poison when the
    /// answer does not encode or there is a final answer already.
    pub async fn record(&self, answer: E::Answer) -> Result<Recorded<E::Answer>, Failure> {
        let mut answers = self.answers.lock().await;
        if self.finished.load(Ordering::Acquire) {
            return Err(Failure::poison("there is a final answer already"));
        }
        let version = answers.last().map_or(0, |last| last.meta.version) + 1;
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::follows(self.job.request.meta.id, "answer", version as usize),
                tenant: self.job.request.meta.tenant.clone(),
                correlation: self.job.request.meta.correlation,
                causation: Some(self.job.request.meta.id),
                stream: self.job.stream.clone(),
                version,
                at: platform_telemetry::now(),
                source: self.executor.source().to_owned(),
                traceparent: platform_telemetry::current_traceparent()
                    .or_else(|| self.job.request.meta.traceparent.clone()),
                actor: self.job.request.meta.actor.clone(),
            },
            event: answer,
        };
        let outgoing = self
            .executor
            .encode_answer(&recorded)
            .map_err(Failure::poison)?;
        let mut wait = FIRST_WAIT;
        let position = loop {
            if self.job.ownership.is_lost() {
                return Err(gone());
            }
            match self.producer.append(outgoing.clone()).await {
                Ok(position) => break position,
                Err(error) if !error.is_transient() => return Err(Failure::poison(error)),
                Err(error) => {
                    warn!(stream.id = %self.job.stream, error = %chain(&error), "answer is not on the log yet");
                    if self.job.cancel.is_interrupted() {
                        return Err(Failure::transient(error));
                    }
                }
            }
            tokio::select! {
                () = self.job.cancel.interrupted() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        if self.job.resumed.load(Ordering::Acquire) {
            if let Some(first) = self.answer_before(version, &position).await? {
                let is_final = self.executor.is_final(&first.event);
                self.finished.store(is_final, Ordering::Release);
                answers.push(first);
                return Err(Failure::transient(
                    "an owner before had answered, and it came late",
                ));
            }
            self.job.resumed.store(false, Ordering::Release);
        }
        if self.executor.is_final(&recorded.event) {
            self.finished.store(true, Ordering::Release);
        }
        answers.push(recorded.clone());
        Ok(recorded)
    }

    /// What another owner answered under that version, and readers go by because
    /// it stands before `ours`. Its append may have come through after the answers
    /// were read at takeover: the broker had it and had not yet shown it, or the
    /// other went on after a stop.
    async fn answer_before(
        &self,
        version: u64,
        ours: &Position,
    ) -> Result<Option<Recorded<E::Answer>>, Failure> {
        let mut since = self.job.ownership.since_takeover(ours)?;
        loop {
            let records = since.next().await;
            let records = records.map_err(|halt| Failure::transient(halt.reason()))?;
            if records.is_empty() {
                return Ok(None);
            }
            for record in records {
                let at = record.metadata();
                if at.is_ok_and(|at| at.stream == self.job.stream && at.version == version)
                    && let Ok(answer) = self.executor.decode_answer(&record).await
                {
                    return Ok(Some(answer));
                }
            }
        }
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
        self.job.ownership.confirm(&self.job.cancel).await
    }

    /// The stream of the answers.
    pub fn stream(&self) -> &str {
        &self.job.stream
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    pub(crate) async fn answers(&self) -> Vec<Recorded<E::Answer>> {
        self.answers.lock().await.clone()
    }
}
