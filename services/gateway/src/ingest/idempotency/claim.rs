use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain_kernel::CorrelationId;
use platform_postgres::Pool;
use platform_redis::Redis;
use serde::Serialize;

use super::gather::{Gather, NotAsked};
use super::local::{Known, LocalSet};
use super::remember::{Remembering, Write, Writes};
use super::stores::{Said, Stores, Unheard};
use crate::cache::Cache;
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
        let told = Told {
            correlation_id: correlation,
            delivery_id,
            status_url: format!("{public_url}/v1/deliveries/{correlation}"),
        };
        // Ids and texts always print.
        Self::from_body(serde_json::to_vec(&told).unwrap_or_default().into())
    }

    pub(super) const fn from_body(body: Bytes) -> Self {
        Self { body }
    }

    pub(crate) const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// What it says.
#[derive(Serialize)]
struct Told<'a> {
    correlation_id: CorrelationId,
    delivery_id: &'a str,
    status_url: String,
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
    pub(super) stores: Arc<Stores>,
    questions: Gather<Unheard>,
    writes: Writes,
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
        let stores = Stores::new(redis.clone(), pool, in_flight_ttl, public_url);
        let stores = Arc::new(stores);
        let (ends, remembering) = Remembering::new(redis, stores.clone());
        let idempotency = Self {
            local: LocalSet::new(),
            stores,
            questions: ends.questions,
            writes: ends.writes,
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
        let ticket = match self.begin(correlation, digest) {
            Ok(ticket) => ticket,
            Err(claim) => return Ok(claim),
        };
        let said = match self.questions.ask(correlation).await {
            Ok(unheard) => unheard.hear(),
            Err(NotAsked) => {
                metrics::idempotency_store_away("redis");
                metrics::idempotency_store_away("postgres");
                Said::nothing()
            }
        };
        self.judge(ticket, said)
    }

    /// The ticket to ask the stores with, unless this process knows already what
    /// is to be done.
    pub(super) fn begin(
        &self,
        correlation: CorrelationId,
        digest: BodyDigest,
    ) -> Result<Ticket<'_>, Claim<'_>> {
        match self.local.begin(correlation) {
            Known::Nothing => Ok(Ticket {
                idempotency: self,
                correlation,
                digest,
                marked: false,
                answered: false,
            }),
            Known::InFlight => Err(Claim::InFlight),
            Known::Answered(first, answer) => Err(repeat("local", first == digest, answer)),
        }
    }

    /// What is to be done, by what the stores say.
    ///
    /// # Errors
    /// When neither of them did.
    pub(super) fn judge<'a>(
        &self,
        mut ticket: Ticket<'a>,
        said: Said,
    ) -> Result<Claim<'a>, Unavailable> {
        ticket.marked = said.marked();
        let Said { before, stored } = said;
        let digest = ticket.digest;
        let stored_is_known = stored.is_ok();
        if let Ok(Some((first, answer))) = stored {
            ticket.keep(first, &answer);
            return Ok(repeat("postgres", first == digest, answer));
        }
        let before = match before {
            Ok(before) if before.is_empty() => return Ok(Claim::First(ticket)),
            Ok(before) => before,
            Err(_) if stored_is_known => return Ok(Claim::First(ticket)),
            Err(_) => return Err(Unavailable),
        };
        let Some((first, answer)) = decode(&before) else {
            return Ok(Claim::InFlight);
        };
        ticket.answered = true;
        self.local.answered(ticket.correlation, first, &answer);
        Ok(repeat("redis", first == digest, answer))
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
            (
                "idempotency-redis",
                self.stores.redis_circuit.state().as_str(),
            ),
            (
                "idempotency-postgres",
                self.stores.postgres_circuit.state().as_str(),
            ),
        ])
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

fn repeat<'a>(recognised_by: &'static str, same_body: bool, answer: Answer) -> Claim<'a> {
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
fn decode(value: &[u8]) -> Option<(BodyDigest, Answer)> {
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
        let expected = format!(
            "{{\"correlation_id\":\"{correlation}\",\"delivery_id\":\"msg_1\",\
             \"status_url\":\"https://mesh.example.com/v1/deliveries/{correlation}\"}}"
        );
        assert_eq!(answer.body(), expected.as_bytes());
    }

    #[test]
    fn a_marker_and_what_is_damaged_count_as_in_flight() {
        for value in [&[IN_FLIGHT][..], b"", b"A", b"Ashort", b"X"] {
            assert_eq!(decode(value), None);
        }
    }
}
