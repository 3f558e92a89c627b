use std::time::Duration;

use platform_postgres::Pool;
use platform_redis::{Batch, Redis};
use projections_deliveries::Delivery;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::claim::{Unavailable, key};
use super::gather::{Asking, Gather, gather};
use super::lookup::accepted;
use super::marks::{MarkerUnknown, mark};
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
/// no round trip and the writes of many answers share one; two ask Redis and
/// Postgres for many at once.
#[derive(Debug)]
pub(crate) struct Remembering {
    redis: Redis,
    pool: Pool,
    in_flight_ttl: Duration,
    writes: Writes,
    writing: mpsc::Receiver<Write>,
    marking: Asking<Vec<u8>, MarkerUnknown>,
    looking_up: Asking<Option<Delivery>, Unavailable>,
}

/// The ends that requests hold.
pub(super) struct Ends {
    pub(super) marks: Gather<Vec<u8>, MarkerUnknown>,
    pub(super) lookups: Gather<Option<Delivery>, Unavailable>,
    pub(super) writes: Writes,
}

impl Remembering {
    pub(super) fn new(redis: Redis, pool: Pool, in_flight_ttl: Duration) -> (Ends, Self) {
        let (sender, writing) = mpsc::channel(QUEUE);
        let (marks, marking) = gather();
        let (lookups, looking_up) = gather();
        let writes = Writes { sender };
        let ends = Ends {
            marks,
            lookups,
            writes: writes.clone(),
        };
        let remembering = Self {
            redis,
            pool,
            in_flight_ttl,
            writes,
            writing,
            marking,
            looking_up,
        };
        (ends, remembering)
    }

    /// Works until `shutdown`, and then off what is still waiting.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self {
            redis,
            pool,
            in_flight_ttl,
            writes,
            writing,
            marking,
            looking_up,
        } = self;
        let marking = marking.run(
            shutdown.clone(),
            |ids| mark(redis.clone(), ids, in_flight_ttl),
            // Its request went away before it knew that the marker is its own.
            |id, marked| {
                if marked.is_ok_and(|before| before.is_empty()) {
                    writes.push(Write::Forget { key: key(id) });
                }
            },
        );
        let looking_up = looking_up.run(
            shutdown.clone(),
            |ids| accepted(pool.clone(), ids),
            |_, _| {},
        );
        let writing = Writing {
            redis: redis.clone(),
            receiver: writing,
        };
        tokio::join!(writing.run(shutdown.clone()), marking, looking_up);
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
        // None needs another, and claims on the connection must not wait for them.
        if let Err(error) = self.redis.run_each(batch).await {
            metrics::idempotency_store_away("redis");
            debug!(error = %error, "answers not remembered in redis");
        }
    }
}
