use domain_effect::{EffectEvent, EffectRequest, Phase};
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Encoder, Outgoing, Record, SchemaRegistry};
use platform_projector::{Cancellation, Executor, Failure, Journal};
use schemas::{Effects, Outcomes};

use crate::connectors::Connectors;
use crate::effect::{Interruption, carry_out, fail, reason_to_stop};
use crate::ledger::Ledger;

/// Carries out the requests of `mesh.effects` and attests them on `mesh.outcomes`.
pub(crate) struct SyncExecutor {
    connectors: Connectors,
    encoder: Encoder,
    requests: Decoder<Effects>,
    answers: Decoder<Outcomes>,
    concurrency: usize,
    /// How many of those one connector may take.
    places: usize,
}

impl SyncExecutor {
    pub(crate) fn new(
        connectors: Connectors,
        encoder: Encoder,
        registry: &SchemaRegistry,
        settings: &platform_config::Sync,
    ) -> Self {
        Self {
            connectors,
            encoder,
            requests: Decoder::new(registry.clone()),
            answers: Decoder::new(registry.clone()),
            concurrency: settings.concurrency,
            places: settings.connector_concurrency,
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

    fn share_key(&self, request: &Recorded<EffectRequest>) -> Option<String> {
        match &request.event {
            EffectRequest::Requested(requested) => Some(format!(
                "{}/{}",
                request.meta.tenant, requested.connector_id
            )),
            EffectRequest::Cancelled(_) => None,
        }
    }

    fn places(&self) -> usize {
        self.places
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
            .get(&request.meta.tenant, &effect.connector_id)
            .await;
        let done = match opened {
            Ok(Some(opened)) => carry_out(&effect, &opened, &mut ledger).await,
            Ok(None) => {
                let reason = format!("the tenant has no connector {}", effect.connector_id);
                without_connector(&mut ledger, ("unknown-connector".to_owned(), reason)).await
            }
            // It may be mended before the effect has to be done.
            Err(error) => match reason_to_stop(&effect, &ledger) {
                Ok(Some(why)) => without_connector(&mut ledger, why).await,
                Ok(None) => Err(Failure::transient(error).into()),
                Err(interruption) => Err(interruption),
            },
        };
        match done {
            Ok(()) | Err(Interruption::Shutdown) => Ok(()),
            Err(Interruption::Failed(failure)) => Err(failure),
        }
    }
}

/// Without its connector nothing can be written, nor a doubt be settled: an
/// effect that is in doubt waits until the connector is back.
async fn without_connector(
    ledger: &mut Ledger<'_>,
    (code, reason): (String, String),
) -> Result<(), Interruption> {
    match ledger.phase() {
        Phase::Requested | Phase::Reconciled { found: false } => {
            Ok(fail(ledger, code, reason).await?)
        }
        Phase::Confirmed | Phase::Failed => Ok(()),
        Phase::Attempted | Phase::Unknown | Phase::Reconciled { found: true } => {
            Err(Failure::transient(format!("an outcome is open, but {reason}")).into())
        }
    }
}
