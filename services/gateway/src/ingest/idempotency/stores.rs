use std::collections::HashMap;
use std::time::Duration;

use domain_kernel::CorrelationId;
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_resilience::Circuit;
use tracing::warn;

use super::claim::{Answer, BodyDigest, Unavailable};
use super::marks::{MarkerUnknown, mark};
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
    /// As of a delivery that nobody was asked about, or whose answer was lost.
    pub(super) fn nothing() -> Self {
        metrics::idempotency_store_away("redis");
        metrics::idempotency_store_away("postgres");
        Self {
            before: Err(MarkerUnknown::MayBeSet),
            stored: Err(Unavailable),
        }
    }
}

/// Where deliveries are remembered beyond this process, with a circuit before
/// each: while one is away, nobody waits for its deadline.
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

    /// What both say of each of these, in their order. `deadline` is how long
    /// Postgres may take. Both are asked at once: the answer of each is needed,
    /// and neither depends on the other.
    pub(super) async fn ask(&self, ids: &[CorrelationId], deadline: Duration) -> Vec<Said> {
        let (marked, stored) = tokio::join!(self.mark(ids), self.look_up(ids, deadline));
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

    async fn mark(&self, ids: &[CorrelationId]) -> Result<Vec<Vec<u8>>, MarkerUnknown> {
        let marking = mark(&self.redis, ids, self.in_flight_ttl);
        let marked = self.redis_circuit.call_for(ids.len(), marking).await;
        marked.unwrap_or(Err(MarkerUnknown::NotSet))
    }

    async fn look_up(
        &self,
        ids: &[CorrelationId],
        deadline: Duration,
    ) -> Result<HashMap<CorrelationId, (BodyDigest, Answer)>, Unavailable> {
        let found = self.try_look_up(ids, deadline);
        let found = self.postgres_circuit.call_for(ids.len(), found).await;
        found.unwrap_or(Err(Unavailable))
    }

    async fn try_look_up(
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
