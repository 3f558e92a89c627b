//! What an answered delivery leaves on the log: the decision, then the delivery
//! or its refusal. Answered only after the broker acknowledged both.

use std::time::Duration;

use domain_delivery::{DeliveryAccepted, DeliveryEvent, DeliveryRefused, RefusalReason};
use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp};
use domain_policy::{PolicyDecided, PolicyEvent};
use platform_log::{Encoder, Outgoing, Producer};
use schemas::{Decisions, Deliveries};

use crate::refusals::SOURCE;

/// Why something does not stand on the log, or may not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAppended {
    /// What was sent is too large as a record, although its body was within the limit.
    #[error("the record is too large")]
    TooLarge(#[source] platform_log::Error),
    #[error("the log did not take it")]
    Log(#[source] platform_log::Error),
    #[error("the log did not acknowledge in time")]
    Deadline,
    /// Waiting for room would only hold the sender and its body in memory.
    #[error("too many records wait for the log")]
    QueueFull,
}

/// Appends for the gateway.
#[derive(Debug)]
pub(crate) struct Appender {
    producer: Producer,
    encoder: Encoder,
    deadline: Duration,
    /// Records waiting for the log beyond which nothing more is taken.
    queue_limit: usize,
}

/// What the events of one delivery have in common.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) tenant: TenantId,
    pub(crate) correlation: CorrelationId,
    pub(crate) at: Timestamp,
    pub(crate) traceparent: Option<String>,
}

impl Appender {
    pub(crate) fn new(
        producer: Producer,
        encoder: Encoder,
        deadline: Duration,
        queue_limit: usize,
    ) -> Self {
        Self {
            producer,
            encoder,
            deadline,
            queue_limit,
        }
    }

    /// Appends the decision and the delivery. All ids follow from the
    /// correlation id, so a delivery appended twice is one to every reader.
    ///
    /// # Errors
    /// When the log did not acknowledge both in time.
    pub(crate) async fn accepted(
        &self,
        context: &Context,
        decided: PolicyDecided,
        accepted: DeliveryAccepted,
    ) -> Result<(), NotAppended> {
        let correlation = context.correlation.to_string();
        let decision = context.decision(decided);
        let delivery = Recorded {
            meta: context.meta(
                EventId::derive(&["delivery", &correlation]),
                Some(decision.meta.id),
                correlation,
            ),
            event: DeliveryEvent::Accepted(accepted),
        };
        self.append(&decision, &delivery).await
    }

    /// Appends the decision and the refusal it led to. The same delivery may be
    /// refused many times and accepted later, so each refusal is a stream of its own.
    ///
    /// # Errors
    /// When the log did not acknowledge both in time.
    pub(crate) async fn denied(
        &self,
        context: &Context,
        decided: PolicyDecided,
        refused: DeliveryRefused,
    ) -> Result<(), NotAppended> {
        debug_assert_eq!(refused.reason, RefusalReason::PolicyDenied);
        let at = context.at.as_micros().to_string();
        let id = EventId::derive(&[
            "refusal",
            &context.correlation.to_string(),
            &refused.body_sha256,
            &at,
        ]);
        let decision = context.decision(decided);
        let refusal = Recorded {
            meta: context.meta(id, Some(decision.meta.id), id.to_string()),
            event: DeliveryEvent::Refused(refused),
        };
        self.append(&decision, &refusal).await
    }

    async fn append(
        &self,
        decision: &Recorded<PolicyEvent>,
        delivery: &Recorded<DeliveryEvent>,
    ) -> Result<(), NotAppended> {
        if self.producer.in_flight() >= self.queue_limit {
            return Err(NotAppended::QueueFull);
        }
        let batch: Vec<Outgoing> = vec![
            self.encoder
                .encode::<Decisions>(decision)
                .map_err(NotAppended::from)?,
            self.encoder
                .encode::<Deliveries>(delivery)
                .map_err(NotAppended::from)?,
        ];
        match tokio::time::timeout(self.deadline, self.producer.append_all(batch)).await {
            Ok(appended) => appended.map(drop).map_err(NotAppended::from),
            Err(_) => Err(NotAppended::Deadline),
        }
    }
}

impl From<platform_log::Error> for NotAppended {
    fn from(error: platform_log::Error) -> Self {
        match error {
            platform_log::Error::TooLarge { .. } => Self::TooLarge(error),
            error => Self::Log(error),
        }
    }
}

impl Context {
    fn decision(&self, decided: PolicyDecided) -> Recorded<PolicyEvent> {
        let id = EventId::derive(&["decision", &decided.decision_id.to_string()]);
        Recorded {
            meta: self.meta(id, None, self.correlation.to_string()),
            event: PolicyEvent::Decided(decided),
        }
    }

    fn meta(&self, id: EventId, causation: Option<EventId>, stream: String) -> Metadata {
        Metadata {
            id,
            tenant: self.tenant.clone(),
            correlation: self.correlation,
            causation,
            stream,
            version: 1,
            at: self.at,
            source: SOURCE.to_owned(),
            traceparent: self.traceparent.clone(),
        }
    }
}
