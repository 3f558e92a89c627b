use std::sync::Arc;
use std::time::Duration;

use domain_kernel::CorrelationId;
use platform_redis::Redis;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::claim::LOOKUP_DEADLINE;
use super::gather::{Asking, Gather, gather};
use super::stores::{Said, Stores, Unheard};
use crate::metrics;

/// How long Redis keeps an answer. Postgres keeps it for ever.
pub(super) const ANSWER_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Writes waiting for Redis; more are dropped, since Postgres knows them soon.
const QUEUE: usize = 8_192;
/// Writes sent at once.
const BATCH: usize = 256;

/// What is to be written to Redis behind the answer.
#[derive(Debug)]
pub(super) enum Write {
    Answer { key: String, value: Vec<u8> },
    Forget { key: String },
}

/// The end that requests write to.
#[derive(Debug, Clone)]
pub(super) struct Writes {
    sender: mpsc::Sender<Write>,
}

impl Writes {
    pub(super) fn push(&self, write: Write) {
        if self.sender.try_send(write).is_err() {
            metrics::idempotency_store_away("redis");
        }
    }
}

/// The tasks behind the requests. One writes behind, so that answering waits for
/// no round trip and the writes of many answers share one; the other asks Redis
/// and Postgres for many at once, and of both together, so that a claim is one
/// question and one wake.
#[derive(Debug)]
pub(crate) struct Remembering {
    redis: Redis,
    stores: Arc<Stores>,
    writes: Writes,
    writing: mpsc::Receiver<Write>,
    asking: Asking<Unheard>,
}

/// The ends that requests hold.
pub(super) struct Ends {
    pub(super) questions: Gather<Unheard>,
    pub(super) writes: Writes,
}

impl Remembering {
    pub(super) fn new(redis: Redis, stores: Arc<Stores>) -> (Ends, Self) {
        let (sender, writing) = mpsc::channel(QUEUE);
        let (questions, asking) = gather();
        let writes = Writes { sender };
        let ends = Ends {
            questions,
            writes: writes.clone(),
        };
        let remembering = Self {
            redis,
            stores,
            writes,
            writing,
            asking,
        };
        (ends, remembering)
    }

    /// Works until `shutdown`, and then off what is still waiting.
    ///
    /// # Panics
    /// When one of the two does.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let stores = self.stores.clone();
        let ask = move |ids: Vec<CorrelationId>| {
            let stores = stores.clone();
            async move { stores.ask(&ids, ids.len(), LOOKUP_DEADLINE).await }
        };
        self.run_asking(shutdown, ask).await;
    }

    async fn run_asking<F>(
        self,
        shutdown: CancellationToken,
        ask: impl Fn(Vec<CorrelationId>) -> F + Send + 'static,
    ) where
        F: Future<Output = Vec<Said>> + Send + 'static,
    {
        let Self {
            redis,
            stores: _,
            writes,
            writing,
            asking,
        } = self;
        let writing = Writing {
            redis,
            receiver: writing,
        };
        let asking = asking.run(shutdown, move |ids| {
            let (said, writes) = (ask(ids.clone()), writes.clone());
            async move { unheard(ids, said.await, &writes) }
        });
        let asked = CancellationToken::new();
        // A task each, or what wakes one would have both of them polled.
        let mut tasks = JoinSet::new();
        tasks.spawn(asking);
        tasks.spawn(writing.run(asked.clone()));
        while let Some(ended) = tasks.join_next().await {
            match ended.map_err(JoinError::try_into_panic) {
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(error)) => warn!(error = %error, "a task of the answers did not end well"),
                Ok(()) => {}
            }
            // Asking may have something forgotten to its end, so writing, which
            // cannot end before it, ends last.
            if tasks.len() == 1 {
                asked.cancel();
            }
        }
    }
}

fn unheard(ids: Vec<CorrelationId>, said: Vec<Said>, writes: &Writes) -> Vec<Unheard> {
    let unheard = ids.into_iter().zip(said).map(|(id, said)| Unheard {
        id,
        said,
        writes: writes.clone(),
    });
    unheard.collect()
}

struct Writing {
    redis: Redis,
    receiver: mpsc::Receiver<Write>,
}

impl Writing {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut writes = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv_many(&mut writes, BATCH) => received,
                () = shutdown.cancelled() => {
                    self.receiver.close();
                    self.receiver.recv_many(&mut writes, BATCH).await
                }
            };
            if received == 0 {
                return;
            }
            self.write(writes.drain(..)).await;
        }
    }

    async fn write(&self, writes: impl Iterator<Item = Write>) {
        let (mut answers, mut forgotten) = (Vec::new(), Vec::new());
        for write in writes {
            match write {
                Write::Answer { key, value } => answers.push((key, value)),
                Write::Forget { key } => forgotten.push(key),
            }
        }
        // None needs another.
        let forgotten = self.redis.delete(&forgotten);
        let answers = self.redis.set_all(answers, ANSWER_TTL);
        let (forgotten, answered) = tokio::join!(forgotten, answers);
        if let Err(error) = forgotten.map(drop).and(answered) {
            metrics::idempotency_store_away("redis");
            debug!(error = %error, "answers not remembered in redis");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform_postgres::Pool;
    use platform_testkit::TestBed;
    use tokio::sync::Notify;

    use super::super::claim::{IN_FLIGHT, key};
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_marker_nobody_waits_for_is_forgotten_though_the_shutdown_has_begun() {
        let bed = TestBed::new("gateway_forgotten").await.unwrap();
        let redis = Redis::connect(&bed.settings.redis).await.unwrap();
        let pool = Pool::connect(&bed.settings.postgres).unwrap();
        let stores = Arc::new(Stores::new(redis.clone(), pool, TTL, String::new()));
        let (ends, remembering) = Remembering::new(redis.clone(), stores.clone());
        let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let ask = {
            let (asked, go_on) = (asked.clone(), go_on.clone());
            move |ids: Vec<CorrelationId>| {
                let (stores, asked, go_on) = (stores.clone(), asked.clone(), go_on.clone());
                async move {
                    let said = stores.ask(&ids, 1, LOOKUP_DEADLINE).await;
                    asked.notify_one();
                    go_on.notified().await;
                    said
                }
            }
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(remembering.run_asking(shutdown.clone(), ask));

        let id = CorrelationId::of_delivery("zapier", "msg_1");
        let mut request = Box::pin(ends.questions.ask(id));
        assert!(futures::poll!(&mut request).is_pending());
        asked.notified().await;
        assert_eq!(redis.get(&key(id)).await.unwrap(), Some(vec![IN_FLIGHT]));
        drop(request);
        // Tasks of one thread have their turn as they are woken: whoever ends at
        // the shutdown has ended before asking goes on.
        shutdown.cancel();
        go_on.notify_one();
        running.await.unwrap();
        assert_eq!(redis.get(&key(id)).await.unwrap(), None);
    }
}
