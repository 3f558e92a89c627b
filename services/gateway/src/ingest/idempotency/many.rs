//! The claims of a whole batch: one question to Redis and one to Postgres,
//! however many deliveries there are.

use std::time::Duration;

use domain_kernel::CorrelationId;

use super::claim::{BodyDigest, Claim, Idempotency, LOOKUP_DEADLINE, Unavailable};

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
        let mut ids = Vec::new();
        for (index, (correlation, digest)) in deliveries.iter().enumerate() {
            claims.push(match self.begin(*correlation, *digest) {
                Ok(mut ticket) => {
                    // Until the answer says otherwise: the caller may go away.
                    ticket.marked = true;
                    open.push((index, ticket));
                    ids.push(*correlation);
                    None
                }
                Err(claim) => Some(claim),
            });
        }
        if !open.is_empty() {
            // A whole batch may take a little longer than one.
            let deadline = LOOKUP_DEADLINE + Duration::from_secs(1);
            let said = self.stores.ask(&ids, 1, deadline).await;
            let judged = open.into_iter().zip(said);
            // All of them, so that none is taken for marked that is not.
            let judged: Vec<_> = judged
                .map(|((index, ticket), said)| (index, self.judge(ticket, said)))
                .collect();
            for (index, claim) in judged {
                claims[index] = Some(claim?);
            }
        }
        Ok(claims.into_iter().flatten().collect())
    }
}
