use std::collections::HashMap;
use std::time::Duration;

use domain_kernel::CorrelationId;
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_resilience::Circuit;
use tracing::warn;

use super::claim::{Answer, BodyDigest, Unavailable, key};
use super::marks::{MarkerUnknown, mark};
use super::remember::{Write, Writes};
use crate::cache::BREAKER;
use crate::metrics;

/// What Postgres knows of a delivery: the digest of its body, and its answer.
pub(super) type Stored = Option<(BodyDigest, Answer)>;

/// What the stores say of one delivery.
#[derive(Debug)]
pub(super) struct Said {
    /// What stood in Redis: nothing where the marker is ours now.
    pub(super) before: Result<Vec<u8>, MarkerUnknown>,
    pub(super) stored: Result<Stored, Unavailable>,
}

impl Said {
    /// Of a delivery that they were not asked about.
    pub(super) fn nothing() -> Self {
        Self {
            before: Err(MarkerUnknown::NotSet),
            stored: Err(Unavailable),
        }
    }

    /// Whether a marker that was set for it may stand in Redis.
    pub(super) fn marked(&self) -> bool {
        match &self.before {
            Ok(before) => before.is_empty(),
            Err(unknown) => *unknown == MarkerUnknown::MayBeSet,
        }
    }
}

/// What the stores say, on its way to the request that asked. When that has gone
/// away, the marker that was set for it is taken back.
#[derive(Debug)]
pub(super) struct Unheard {
    pub(super) id: CorrelationId,
    pub(super) said: Said,
    pub(super) writes: Writes,
}

impl Unheard {
    pub(super) fn hear(mut self) -> Said {
        std::mem::replace(&mut self.said, Said::nothing())
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        if self.said.marked() {
            let key = key(self.id);
            self.writes.push(Write::Forget { key });
        }
    }
}

/// Where deliveries are remembered beyond this process, with a circuit before
/// each: while one is away, only a question that tries it waits for its deadline.
#[derive(Debug)]
pub(super) struct Stores {
    redis: Redis,
    pub(super) pool: Pool,
    in_flight_ttl: Duration,
    pub(super) public_url: String,
    pub(super) redis_circuit: Circuit,
    pub(super) postgres_circuit: Circuit,
}

impl Stores {
    pub(super) fn new(
        redis: Redis,
        pool: Pool,
        in_flight_ttl: Duration,
        public_url: String,
    ) -> Self {
        Self {
            redis,
            pool,
            in_flight_ttl,
            public_url,
            redis_circuit: Circuit::new("idempotency-redis", BREAKER),
            postgres_circuit: Circuit::new("idempotency-postgres", BREAKER),
        }
    }

    /// What both say of each of these, in their order. `callers` is how many wait for
    /// it, `deadline` how long Postgres may take. Both are asked at once: the answer
    /// of each is needed, and neither depends on the other.
    pub(super) async fn ask(
        &self,
        ids: &[CorrelationId],
        callers: usize,
        deadline: Duration,
    ) -> Vec<Said> {
        let marking = mark(&self.redis, ids, self.in_flight_ttl);
        let marking = self.redis_circuit.call_for(callers, marking);
        let looking_up = self.look_up(ids, deadline);
        let looking_up = self.postgres_circuit.call_for(callers, looking_up);
        let (marked, stored) = tokio::join!(marking, looking_up);
        let marked = marked.unwrap_or(Err(MarkerUnknown::NotSet));
        let stored = stored.unwrap_or(Err(Unavailable));
        let (mut marked, unknown) = match marked {
            Ok(marked) => (marked.into_iter(), MarkerUnknown::MayBeSet),
            Err(unknown) => (Vec::new().into_iter(), unknown),
        };
        let said = ids.iter().map(|id| Said {
            before: marked.next().ok_or(unknown),
            stored: match &stored {
                Ok(found) => Ok(found.get(id).cloned()),
                Err(_) => Err(Unavailable),
            },
        });
        said.collect()
    }

    async fn look_up(
        &self,
        ids: &[CorrelationId],
        deadline: Duration,
    ) -> Result<HashMap<CorrelationId, (BodyDigest, Answer)>, Unavailable> {
        let asked = projections_deliveries::accepted_of(&self.pool, ids);
        let found = match tokio::time::timeout(deadline, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(error = %error, cause = ?error, "deliveries cannot be looked up");
                metrics::idempotency_store_away("postgres");
                return Err(Unavailable);
            }
            Err(_) => {
                warn!("deliveries were not looked up in time");
                metrics::idempotency_store_away("postgres");
                return Err(Unavailable);
            }
        };
        let known = found.into_iter().filter_map(|(id, delivery_id, sha256)| {
            let answer = Answer::new(id, &delivery_id, &self.public_url);
            Some((id, (BodyDigest::from_hex(&sha256)?, answer)))
        });
        Ok(known.collect())
    }
}
