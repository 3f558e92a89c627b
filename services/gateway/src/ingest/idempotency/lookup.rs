use std::collections::HashMap;
use std::time::Duration;

use domain_kernel::CorrelationId;
use platform_postgres::Pool;
use projections_deliveries::Delivery;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::claim::Unavailable;
use crate::metrics;

/// How long Postgres may take to tell whether it knows an id.
const DEADLINE: Duration = Duration::from_secs(1);
/// Ids asked for at once, and how many may wait for their turn.
const BATCH: usize = 512;
const QUEUE: usize = 16_384;

type Found = Result<Option<Delivery>, Unavailable>;

#[derive(Debug)]
struct Question {
    id: CorrelationId,
    answer: oneshot::Sender<Found>,
}

/// What the read model of deliveries knows, asked by many requests at once.
#[derive(Debug, Clone)]
pub(super) struct Lookups {
    questions: mpsc::Sender<Question>,
}

impl Lookups {
    pub(super) fn new(pool: Pool) -> (Self, Answering) {
        let (questions, receiver) = mpsc::channel(QUEUE);
        (Self { questions }, Answering { pool, receiver })
    }

    /// The accepted delivery of that id, if the read model has it.
    pub(super) async fn accepted(&self, id: CorrelationId) -> Found {
        let (answer, answered) = oneshot::channel();
        if self.questions.try_send(Question { id, answer }).is_err() {
            metrics::idempotency_store_away("postgres");
            return Err(Unavailable);
        }
        answered.await.unwrap_or(Err(Unavailable))
    }
}

/// The task that asks. While one question is under way the next ones gather, so
/// that a single request waits for nobody and a thousand share a few queries.
#[derive(Debug)]
pub(crate) struct Answering {
    pool: Pool,
    receiver: mpsc::Receiver<Question>,
}

impl Answering {
    /// Answers until `shutdown`, and then what is still waiting.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut questions = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv_many(&mut questions, BATCH) => received,
                () = shutdown.cancelled() => {
                    self.receiver.close();
                    self.receiver.recv_many(&mut questions, BATCH).await
                }
            };
            if received == 0 {
                return;
            }
            self.answer(std::mem::take(&mut questions)).await;
        }
    }

    async fn answer(&self, questions: Vec<Question>) {
        let ids: Vec<CorrelationId> = questions.iter().map(|question| question.id).collect();
        let found = self.ask(&ids).await;
        for Question { id, answer } in questions {
            // Whoever does not wait any more has been answered otherwise.
            let _ = answer.send(match &found {
                Some(found) => Ok(found.get(&id).cloned()),
                None => Err(Unavailable),
            });
        }
    }

    async fn ask(&self, ids: &[CorrelationId]) -> Option<HashMap<CorrelationId, Delivery>> {
        let asked = projections_deliveries::accepted_among(&self.pool, ids);
        match tokio::time::timeout(DEADLINE, asked).await {
            Ok(Ok(found)) => {
                let by_id = found.into_iter().map(|found| (found.correlation, found));
                return Some(by_id.collect());
            }
            Ok(Err(error)) => {
                warn!(error = %error, cause = ?error, "deliveries cannot be looked up");
            }
            Err(_) => warn!("deliveries were not looked up in time"),
        }
        metrics::idempotency_store_away("postgres");
        None
    }
}
