use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use domain_kernel::CorrelationId;
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_resilience::Circuit;
use projections_deliveries::{Delivery, Status};

use super::gather::Gather;
use super::local::{Known, LocalSet};
use super::marks::MarkerUnknown;
use super::remember::{Remembering, Write, Writes};
use crate::cache::{BREAKER, Cache};
use crate::metrics;

/// How long Postgres may take to tell whether it knows an id.
pub(super) const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);

/// First byte of the value in Redis.
pub(super) const IN_FLIGHT: u8 = b'F';
const ANSWERED: u8 = b'A';

/// SHA-256 of a delivery's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyDigest([u8; 32]);

impl BodyDigest {
    pub(crate) const fn of_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    pub(super) fn from_hex(digits: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Self(digest))
    }
}

/// The body of a 202.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    body: Bytes,
}

impl Answer {
    /// What the sender of an accepted delivery is told.
    pub(crate) fn new(correlation: CorrelationId, delivery_id: &str, public_url: &str) -> Self {
        let body = serde_json::json!({
            "correlation_id": correlation,
            "delivery_id": delivery_id,
            "status_url": format!("{public_url}/v1/deliveries/{correlation}"),
        });
        Self::from_body(body.to_string().into())
    }

    pub(super) const fn from_body(body: Bytes) -> Self {
        Self { body }
    }

    pub(crate) const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// What is to be done with a delivery.
#[derive(Debug)]
pub(crate) enum Claim<'a> {
    /// It is the first. Nobody else handles it while the ticket lives.
    First(Ticket<'a>),
    /// The same came before; this was the answer.
    Repeat(Answer),
    /// The same id came before with another body.
    OtherBody,
    /// The same id is being handled now.
    InFlight,
}

/// Neither Redis nor Postgres could say whether the delivery is a repeat.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("nobody can tell whether the delivery is a repeat")]
pub(crate) struct Unavailable;

/// The memory of what was answered.
#[derive(Debug)]
pub(crate) struct Idempotency {
    pub(super) local: LocalSet,
    pub(super) redis: Redis,
    pub(super) pool: Pool,
    marks: Gather<Vec<u8>, MarkerUnknown>,
    lookups: Gather<Option<Delivery>, Unavailable>,
    writes: Writes,
    pub(super) in_flight_ttl: Duration,
    pub(super) public_url: String,
    /// Before each store: while one is away, nobody waits for its deadline.
    pub(super) redis_circuit: Circuit,
    pub(super) postgres_circuit: Circuit,
    cache: Cache,
    forgets: bool,
}

/// The right to handle one delivery. Dropped without an answer, it is as if the
/// delivery had never come.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    pub(super) idempotency: &'a Idempotency,
    pub(super) correlation: CorrelationId,
    pub(super) digest: BodyDigest,
    /// Whether a marker may stand in Redis.
    pub(super) marked: bool,
    pub(super) answered: bool,
}

impl Idempotency {
    /// `in_flight_ttl` must be longer than any delivery takes to handle: it is
    /// how long a repeat is turned away after a gateway died with the first.
    pub(crate) fn new(
        redis: Redis,
        cache: Cache,
        pool: Pool,
        in_flight_ttl: Duration,
        public_url: String,
    ) -> (Self, Remembering) {
        let (ends, remembering) = Remembering::new(redis.clone(), pool.clone(), in_flight_ttl);
        let idempotency = Self {
            local: LocalSet::new(),
            redis,
            pool,
            marks: ends.marks,
            lookups: ends.lookups,
            writes: ends.writes,
            in_flight_ttl,
            public_url,
            redis_circuit: Circuit::new("idempotency-redis", BREAKER),
            postgres_circuit: Circuit::new("idempotency-postgres", BREAKER),
            cache,
            forgets: false,
        };
        (idempotency, remembering)
    }

    /// See [`crate::Shortcuts`].
    pub(crate) fn forgets(&mut self, forgets: bool) {
        self.forgets = forgets;
    }

    /// Claims the delivery `correlation`.
    ///
    /// # Errors
    /// When neither Redis nor Postgres answers.
    pub(crate) async fn claim(
        &self,
        correlation: CorrelationId,
        digest: BodyDigest,
    ) -> Result<Claim<'_>, Unavailable> {
        if self.forgets {
            return Ok(Claim::First(Ticket {
                idempotency: self,
                correlation,
                digest,
                marked: false,
                answered: true,
            }));
        }
        match self.local.begin(correlation) {
            Known::Nothing => {}
            Known::InFlight => return Ok(Claim::InFlight),
            Known::Answered(first, answer) => {
                return Ok(repeat("local", first == digest, answer));
            }
        }
        let mut ticket = Ticket {
            idempotency: self,
            correlation,
            digest,
            // Until the answer says otherwise: the caller may go away meanwhile.
            marked: true,
            answered: false,
        };
        // Both at once: the answer of each is needed, and neither depends on the other.
        let (marker, stored) = tokio::join!(self.mark(correlation), self.lookup(correlation));
        ticket.marked = matches!(marker, Ok(Marker::Ours) | Err(MarkerUnknown::MayBeSet));
        if let Ok(Some((first, answer))) = stored {
            ticket.keep(first, &answer);
            return Ok(repeat("postgres", first == digest, answer));
        }
        match marker {
            Ok(Marker::Ours) => Ok(Claim::First(ticket)),
            Ok(Marker::InFlight) => Ok(Claim::InFlight),
            Ok(Marker::Answered(first, answer)) => {
                ticket.answered = true;
                self.local.answered(correlation, first, &answer);
                Ok(repeat("redis", first == digest, answer))
            }
            Err(_) if stored.is_ok() => Ok(Claim::First(ticket)),
            Err(_) => Err(Unavailable),
        }
    }

    /// The answer given under `correlation`, if it is still at hand without
    /// asking Postgres.
    pub(crate) async fn answer(&self, correlation: CorrelationId) -> Option<Answer> {
        if let Some(answer) = self.local.answer(correlation) {
            return Some(answer);
        }
        let value = self.cache.get(&key(correlation)).await?;
        decode(&value).map(|(_, answer)| answer)
    }

    /// From now on a repeat gets `answer`, here and, behind it, everywhere.
    pub(super) fn remember(&self, correlation: CorrelationId, digest: BodyDigest, answer: &Answer) {
        self.local.answered(correlation, digest, answer);
        self.writes.push(Write::Answer {
            key: key(correlation),
            value: encode(digest, answer),
        });
    }

    /// The circuits before the stores, and how they stand.
    pub(crate) fn circuits(&self) -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("idempotency-redis", self.redis_circuit.state().as_str()),
            (
                "idempotency-postgres",
                self.postgres_circuit.state().as_str(),
            ),
        ])
    }

    /// Sets the marker in Redis, or tells what is there already.
    async fn mark(&self, correlation: CorrelationId) -> Result<Marker, MarkerUnknown> {
        let marked = self.redis_circuit.call(self.try_mark(correlation)).await;
        marked.unwrap_or(Err(MarkerUnknown::NotSet))
    }

    /// One key, in a call with those of others.
    async fn try_mark(&self, correlation: CorrelationId) -> Result<Marker, MarkerUnknown> {
        let asked = self.marks.ask(correlation).await;
        let before = asked.unwrap_or_else(|_| {
            metrics::idempotency_store_away("redis");
            Err(MarkerUnknown::MayBeSet)
        })?;
        Ok(match decode(&before) {
            Some((digest, answer)) => Marker::Answered(digest, answer),
            None if before.is_empty() => Marker::Ours,
            None => Marker::InFlight,
        })
    }

    /// What the read model of deliveries knows.
    async fn lookup(
        &self,
        correlation: CorrelationId,
    ) -> Result<Option<(BodyDigest, Answer)>, Unavailable> {
        let found = self
            .postgres_circuit
            .call(self.try_lookup(correlation))
            .await;
        found.unwrap_or(Err(Unavailable))
    }

    /// One lookup by primary key, in a query with those of others.
    async fn try_lookup(
        &self,
        correlation: CorrelationId,
    ) -> Result<Option<(BodyDigest, Answer)>, Unavailable> {
        let asked = self.lookups.ask(correlation).await;
        let found = asked.unwrap_or_else(|_| {
            metrics::idempotency_store_away("postgres");
            Err(Unavailable)
        })?;
        let Some(delivery) = found else {
            return Ok(None);
        };
        let Status::Accepted { delivery_id, .. } = &delivery.status else {
            return Ok(None);
        };
        let answer = Answer::new(correlation, delivery_id, &self.public_url);
        Ok(BodyDigest::from_hex(&delivery.body_sha256).map(|digest| (digest, answer)))
    }
}

impl Ticket<'_> {
    /// The delivery stands on the log: from now on a repeat gets `answer`.
    pub(crate) fn answered(mut self, answer: &Answer) {
        if self.idempotency.forgets {
            return;
        }
        self.keep(self.digest, answer);
    }

    pub(super) fn keep(&mut self, digest: BodyDigest, answer: &Answer) {
        self.answered = true;
        self.idempotency.remember(self.correlation, digest, answer);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.idempotency.local.forget(self.correlation);
        if self.marked {
            self.idempotency.writes.push(Write::Forget {
                key: key(self.correlation),
            });
        }
    }
}

#[derive(Debug)]
enum Marker {
    Ours,
    InFlight,
    Answered(BodyDigest, Answer),
}

pub(super) fn repeat<'a>(
    recognised_by: &'static str,
    same_body: bool,
    answer: Answer,
) -> Claim<'a> {
    metrics::repeat(recognised_by);
    if same_body {
        Claim::Repeat(answer)
    } else {
        Claim::OtherBody
    }
}

pub(super) fn key(correlation: CorrelationId) -> String {
    format!("idempotency:{correlation}")
}

/// `A`, the digest of the first body, and the answer.
fn encode(digest: BodyDigest, answer: &Answer) -> Vec<u8> {
    let mut value = Vec::with_capacity(33 + answer.body.len());
    value.push(ANSWERED);
    value.extend_from_slice(&digest.0);
    value.extend_from_slice(&answer.body);
    value
}

/// None for a marker, and for whatever else: it counts as in flight until it expires.
pub(super) fn decode(value: &[u8]) -> Option<(BodyDigest, Answer)> {
    let (&ANSWERED, rest) = value.split_first()? else {
        return None;
    };
    let (digest, body) = rest.split_first_chunk::<32>()?;
    Some((
        BodyDigest(*digest),
        Answer::from_body(Bytes::copy_from_slice(body)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_redis() {
        let correlation = CorrelationId::of_delivery("zapier", "msg_1");
        let answer = Answer::new(correlation, "msg_1", "https://mesh.example.com");
        let digest = BodyDigest::of_bytes([9; 32]);
        assert_eq!(
            decode(&encode(digest, &answer)),
            Some((digest, answer.clone()))
        );
        let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            told["status_url"],
            format!("https://mesh.example.com/v1/deliveries/{correlation}")
        );
    }

    #[test]
    fn a_marker_and_what_is_damaged_count_as_in_flight() {
        for value in [&[IN_FLIGHT][..], b"", b"A", b"Ashort", b"X"] {
            assert_eq!(decode(value), None);
        }
    }
}
