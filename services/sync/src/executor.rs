use domain_effect::{Action, EffectEvent, EffectRequest};
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Encoder, Outgoing, Record, SchemaRegistry};
use platform_projector::{Cancellation, Executor, Failure, Journal};
use schemas::{Effects, Outcomes};

use crate::connectors::Connectors;
use crate::effect::{Interruption, carry_out};
use crate::ledger::Ledger;

/// Carries out the requests of `mesh.effects` and attests them on `mesh.outcomes`.
pub(crate) struct SyncExecutor {
    connectors: Connectors,
    encoder: Encoder,
    requests: Decoder<Effects>,
    answers: Decoder<Outcomes>,
    concurrency: usize,
}

impl SyncExecutor {
    pub(crate) fn new(
        connectors: Connectors,
        encoder: Encoder,
        registry: &SchemaRegistry,
        concurrency: usize,
    ) -> Self {
        Self {
            connectors,
            encoder,
            requests: Decoder::new(registry.clone()),
            answers: Decoder::new(registry.clone()),
            concurrency,
        }
    }
}

impl Executor for SyncExecutor {
    type Request = EffectRequest;
    type Answer = EffectEvent;
    const NAME: &'static str = "sync";

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.effects"]
    }

    fn answer_topic(&self) -> &'static str {
        "mesh.outcomes"
    }

    fn source(&self) -> &'static str {
        "/agentmesh/sync"
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    async fn decode(
        &self,
        record: &Record,
    ) -> Result<Option<Recorded<EffectRequest>>, DecodeError> {
        self.requests.decode(record).await.map(Some)
    }

    async fn decode_answer(&self, record: &Record) -> Result<Recorded<EffectEvent>, DecodeError> {
        self.answers.decode(record).await
    }

    fn encode_answer(
        &self,
        recorded: &Recorded<EffectEvent>,
    ) -> Result<Outgoing, platform_log::Error> {
        self.encoder.encode::<Outcomes>(recorded)
    }

    fn stream(&self, request: &Recorded<EffectRequest>) -> String {
        match &request.event {
            EffectRequest::Requested(requested) => requested.effect_id.to_string(),
            EffectRequest::Cancelled(cancelled) => cancelled.effect_id.to_string(),
        }
    }

    fn is_final(&self, answer: &EffectEvent) -> bool {
        matches!(answer, EffectEvent::Confirmed(_) | EffectEvent::Failed(_))
    }

    fn cancels(&self, request: &Recorded<EffectRequest>) -> Option<String> {
        match &request.event {
            EffectRequest::Requested(_) => None,
            EffectRequest::Cancelled(cancelled) => Some(cancelled.effect_id.to_string()),
        }
    }

    /// Writes to one record stay in the order they were asked for.
    fn order_key(&self, request: &Recorded<EffectRequest>) -> Option<String> {
        match &request.event {
            EffectRequest::Requested(requested) => Some(format!(
                "{}/{}/{}",
                requested.connector_id, requested.object, requested.external_id
            )),
            EffectRequest::Cancelled(_) => None,
        }
    }

    async fn execute(
        &self,
        request: Recorded<EffectRequest>,
        journal: &Journal<Self>,
        history: Vec<Recorded<EffectEvent>>,
        cancel: Cancellation,
    ) -> Result<(), Failure> {
        let EffectRequest::Requested(effect) = request.event else {
            return Ok(());
        };
        let mut ledger = Ledger::new(effect.clone(), &history, journal, cancel);
        let opened = self
            .connectors
            .get(&request.meta.tenant, &effect.connector_id);
        let done = match opened {
            Ok(Some(opened)) => carry_out(&effect, &opened, &mut ledger).await,
            // Without the connector nothing can be written, nor a doubt be settled:
            // a doubt waits until the connector is back.
            Ok(None) if ledger.attempts() == 0 => {
                let fail = Action::Fail {
                    code: "unknown-connector".to_owned(),
                    reason: format!("the tenant has no connector {}", effect.connector_id),
                };
                ledger.record(fail).await.map_err(Interruption::from)
            }
            Ok(None) => Err(Failure::transient(format!(
                "connector {} is gone while an outcome is open",
                effect.connector_id
            ))
            .into()),
            Err(error) => Err(Failure::transient(error).into()),
        };
        match done {
            Ok(()) | Err(Interruption::Shutdown) => Ok(()),
            Err(Interruption::Failed(failure)) => Err(failure),
        }
    }
}
