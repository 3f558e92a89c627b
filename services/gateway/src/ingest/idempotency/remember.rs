use std::time::Duration;

use platform_redis::{Batch, Redis};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::lookup::Answering;
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

/// The task that writes behind. One task, so that answering waits for no
/// round trip and the writes of many answers share one. Beside it runs the one
/// that looks up what was answered before.
#[derive(Debug)]
pub(crate) struct Remembering {
    redis: Redis,
    receiver: mpsc::Receiver<Write>,
    answering: Answering,
}

impl Remembering {
    pub(super) fn new(redis: Redis, answering: Answering) -> (Writes, Self) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let remembering = Self {
            redis,
            receiver,
            answering,
        };
        (Writes { sender }, remembering)
    }

    /// Works until `shutdown`, and then off what is still waiting.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self {
            redis,
            receiver,
            answering,
        } = self;
        let writing = Writing { redis, receiver };
        tokio::join!(
            writing.run(shutdown.clone()),
            answering.run(shutdown.clone())
        );
    }
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
        let mut batch = Batch::new();
        for write in writes {
            match write {
                Write::Answer { key, value } => {
                    batch.set(key, value, Some(ANSWER_TTL));
                }
                Write::Forget { key } => {
                    batch.delete(key);
                }
            }
        }
        if let Err(error) = self.redis.run(batch).await {
            metrics::idempotency_store_away("redis");
            debug!(error = %error, "answers not remembered in redis");
        }
    }
}
