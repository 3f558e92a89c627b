//! The claims of a whole batch: one question to Redis and one to Postgres,
//! however many deliveries there are.

use std::collections::HashMap;
use std::time::Duration;

use domain_kernel::CorrelationId;
use tracing::warn;

use super::claim::{
    Answer, BodyDigest, Claim, Idempotency, LOOKUP_DEADLINE, Ticket, Unavailable, decode, repeat,
};
use super::local::Known;
use super::marks::{MarkerUnknown, mark};
use crate::metrics;

impl Idempotency {
    /// Claims each delivery, in their order. A delivery that is named twice is
    /// in flight the second time.
    ///
    /// # Errors
    /// When neither Redis nor Postgres answers.
    pub(crate) async fn claim_all(
        &self,
        deliveries: &[(CorrelationId, BodyDigest)],
    ) -> Result<Vec<Claim<'_>>, Unavailable> {
        let mut claims: Vec<Option<Claim<'_>>> = Vec::with_capacity(deliveries.len());
        let mut open = Vec::new();
        let mut tickets = Vec::new();
        for (index, (correlation, digest)) in deliveries.iter().enumerate() {
            claims.push(match self.local.begin(*correlation) {
                Known::Nothing => {
                    open.push((index, *correlation, *digest));
                    tickets.push(Ticket {
                        idempotency: self,
                        correlation: *correlation,
                        digest: *digest,
                        // Until the answer says otherwise: the caller may go away.
                        marked: true,
                        answered: false,
                    });
                    None
                }
                Known::InFlight => Some(Claim::InFlight),
                Known::Answered(first, answer) => Some(repeat("local", first == *digest, answer)),
            });
        }
        if !open.is_empty() {
            let ids: Vec<CorrelationId> = open.iter().map(|(_, id, _)| *id).collect();
            let (marked, stored) = tokio::join!(self.mark_all(&ids), self.lookup_all(&ids));
            if marked.is_err() && stored.is_none() {
                return Err(Unavailable);
            }
            for (place, ((index, id, digest), mut ticket)) in
                open.into_iter().zip(tickets).enumerate()
            {
                let before = marked.as_ref().map(|found| found[place].as_slice()).ok();
                ticket.marked = match (before, &marked) {
                    (Some(before), _) => before.is_empty(),
                    (None, Err(MarkerUnknown::NotSet)) => false,
                    (None, _) => true,
                };
                let known = stored.as_ref().and_then(|stored| stored.get(&id));
                claims[index] = Some(match (known, before) {
                    (Some((first, answer)), _) => {
                        ticket.keep(*first, answer);
                        repeat("postgres", *first == digest, answer.clone())
                    }
                    (None, None | Some([])) => Claim::First(ticket),
                    (None, Some(value)) => match decode(value) {
                        Some((first, answer)) => {
                            ticket.answered = true;
                            self.local.answered(id, first, &answer);
                            repeat("redis", first == digest, answer)
                        }
                        None => Claim::InFlight,
                    },
                });
            }
        }
        Ok(claims.into_iter().flatten().collect())
    }

    /// Sets the marker of each in Redis, or tells what is there already.
    async fn mark_all(&self, ids: &[CorrelationId]) -> Result<Vec<Vec<u8>>, MarkerUnknown> {
        let marked = mark(self.redis.clone(), ids.to_vec(), self.in_flight_ttl);
        let marked = self.redis_circuit.call(marked).await;
        marked.unwrap_or(Err(MarkerUnknown::NotSet))
    }

    /// What the read model knows of them; none when Postgres does not say.
    async fn lookup_all(
        &self,
        ids: &[CorrelationId],
    ) -> Option<HashMap<CorrelationId, (BodyDigest, Answer)>> {
        let found = self.postgres_circuit.call(self.try_lookup_all(ids)).await;
        found.ok()?.ok()
    }

    async fn try_lookup_all(
        &self,
        ids: &[CorrelationId],
    ) -> Result<HashMap<CorrelationId, (BodyDigest, Answer)>, Unavailable> {
        // A whole batch may take a little longer than one.
        let deadline = LOOKUP_DEADLINE + Duration::from_secs(1);
        let asked = projections_deliveries::accepted_of(&self.pool, ids);
        let found = match tokio::time::timeout(deadline, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(error = %error, cause = ?error, "deliveries cannot be looked up");
                metrics::idempotency_store_away("postgres");
                return Err(Unavailable);
            }
            Err(_) => {
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
