//! What an answered delivery leaves on the log: the decision, then the delivery
//! or its refusal. Answered only after the broker acknowledged both.

use std::time::Duration;

use domain_delivery::{DeliveryAccepted, DeliveryEvent, DeliveryRefused, RefusalReason};
use domain_execution::ExecutionRequest;
use domain_kernel::{Actor, CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp};
use domain_policy::{PolicyDecided, PolicyEvent};
use platform_log::{Encoder, Outgoing, Producer};
use schemas::{Decisions, Deliveries, Executions};

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
    does_not_wait: bool,
}

/// What the events of one delivery have in common.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) tenant: TenantId,
    pub(crate) correlation: CorrelationId,
    pub(crate) at: Timestamp,
    pub(crate) traceparent: Option<String>,
    pub(crate) actor: Option<Actor>,
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
            does_not_wait: false,
        }
    }

    /// How many records wait for the log.
    pub(crate) fn queued(&self) -> usize {
        self.producer.in_flight()
    }

    /// See [`crate::Shortcuts`].
    pub(crate) fn does_not_wait(&mut self, does_not_wait: bool) {
        self.does_not_wait = does_not_wait;
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
        let records = self.encode_accepted(context, decided, accepted)?;
        self.append_all(records.into()).await
    }

    /// The records of a delivery that is accepted.
    ///
    /// # Errors
    /// When one does not encode.
    pub(super) fn encode_accepted(
        &self,
        context: &Context,
        decided: PolicyDecided,
        accepted: DeliveryAccepted,
    ) -> Result<[Outgoing; 2], NotAppended> {
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
        self.encode(&decision, &delivery)
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
        let records = self.encode_denied(context, decided, refused)?;
        self.append_all(records.into()).await
    }

    /// The records of a delivery that policy denied.
    ///
    /// # Errors
    /// When one does not encode.
    pub(super) fn encode_denied(
        &self,
        context: &Context,
        decided: PolicyDecided,
        refused: DeliveryRefused,
    ) -> Result<[Outgoing; 2], NotAppended> {
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
        self.encode(&decision, &refusal)
    }

    /// Appends a decision that nothing follows from.
    ///
    /// # Errors
    /// When the log did not acknowledge it in time.
    pub(crate) async fn decided(
        &self,
        context: &Context,
        decided: PolicyDecided,
    ) -> Result<(), NotAppended> {
        let decision = self
            .encoder
            .encode::<Decisions>(&context.decision(decided))?;
        self.append_all(vec![decision]).await
    }

    /// Appends the decision and the question to an agent that it allowed.
    ///
    /// # Errors
    /// When the log did not acknowledge both in time.
    pub(crate) async fn asked(
        &self,
        context: &Context,
        decided: PolicyDecided,
        requested: impl FnOnce(EventId) -> Recorded<ExecutionRequest>,
    ) -> Result<(), NotAppended> {
        let decision = context.decision(decided);
        let requested = requested(decision.meta.id);
        self.append_all(vec![
            self.encoder.encode::<Decisions>(&decision)?,
            self.encoder.encode::<Executions>(&requested)?,
        ])
        .await
    }

    /// Appends that an answer is no longer wanted.
    ///
    /// # Errors
    /// When the log did not acknowledge it in time.
    pub(crate) async fn cancelled(
        &self,
        cancelled: &Recorded<ExecutionRequest>,
    ) -> Result<(), NotAppended> {
        let cancelled = self.encoder.encode::<Executions>(cancelled)?;
        self.append_all(vec![cancelled]).await
    }

    fn encode(
        &self,
        decision: &Recorded<PolicyEvent>,
        delivery: &Recorded<DeliveryEvent>,
    ) -> Result<[Outgoing; 2], NotAppended> {
        Ok([
            self.encoder.encode::<Decisions>(decision)?,
            self.encoder.encode::<Deliveries>(delivery)?,
        ])
    }

    /// Appends records and waits once for all of them.
    ///
    /// # Errors
    /// When the log did not acknowledge all in time.
    pub(super) async fn append_all(&self, batch: Vec<Outgoing>) -> Result<(), NotAppended> {
        if self.producer.in_flight() >= self.queue_limit {
            return Err(NotAppended::QueueFull);
        }
        if self.does_not_wait {
            for record in batch {
                self.producer.append_detached(record);
            }
            return Ok(());
        }
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
            actor: self.actor.clone(),
        }
    }
}
