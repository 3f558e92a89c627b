use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain_context::{
    ContextCommand, ContextDecider, ContextEvent, ContextRejection, ContextState,
    NotificationEvent, Verdict,
};
use domain_delivery::{DeliveryAccepted, DeliveryEvent};
use domain_kernel::{Codec, EventId, Recorded, Timestamp};
use metrics::{counter, histogram};
use platform_embed::{Embedder, HashedNgrams};
use platform_log::{DecodeError, Decoder, Encoder, Outgoing, Record, SchemaRegistry};
use platform_projector::{Failure, Process, Rejected, request_metadata};
use projections_context_vectors::{Candidate, Indexes, Placement};
use schemas::{Contexts, Deliveries, Notifications};
use tracing::info;

use crate::reading::read;
use crate::registered::Sources;

const SOURCE: &str = "/agentmesh/federation";

/// Deliveries whose arrival is remembered for the latency metric; what decides
/// nothing stays until this many are there.
const TIMED: usize = 10_000;

/// The context decider on the log.
#[derive(Debug)]
pub struct FederationProcess {
    sources: Sources,
    indexes: Indexes,
    model_digest: String,
    threshold: f64,
    encoder: Encoder,
    deliveries: Decoder<Deliveries>,
    contexts: Decoder<Contexts>,
    arrived: Mutex<HashMap<EventId, Timestamp>>,
}

impl FederationProcess {
    pub(crate) fn new(
        sources: Sources,
        indexes: Indexes,
        registry: &SchemaRegistry,
        encoder: Encoder,
        threshold: f64,
    ) -> Self {
        Self {
            sources,
            indexes,
            model_digest: HashedNgrams::default().model_digest().to_owned(),
            threshold,
            encoder,
            deliveries: Decoder::new(registry.clone()),
            contexts: Decoder::new(registry.clone()),
            arrived: Mutex::default(),
        }
    }

    /// Notes when the delivery of `recorded` was accepted, until its context is decided.
    fn note_arrival(&self, id: EventId, at: Timestamp) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        if arrived.len() >= TIMED {
            arrived.clear();
        }
        arrived.insert(id, at);
    }

    fn arrival(&self, delivery: EventId) -> Option<Timestamp> {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&delivery)
    }
}

impl Process for FederationProcess {
    type Decider = ContextDecider;
    type Input = DeliveryAccepted;
    type Route = ContextCommand;

    const NAME: &'static str = "federation";

    fn inputs(&self) -> Vec<&'static str> {
        vec![Deliveries::TOPIC]
    }

    fn state_topic(&self) -> &'static str {
        Contexts::TOPIC
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    async fn decode(
        &self,
        record: &Record,
    ) -> Result<Option<Recorded<DeliveryAccepted>>, DecodeError> {
        let Recorded { meta, event } = self.deliveries.decode(record).await?;
        Ok(match event {
            // It waits for an operator; no agent is shown it.
            DeliveryEvent::Accepted(event) if event.quarantine.is_some() => None,
            DeliveryEvent::Accepted(event) => Some(Recorded { meta, event }),
            // Nobody is to be shown what was turned away.
            DeliveryEvent::Refused(_) => None,
        })
    }

    async fn decode_own(&self, record: &Record) -> Result<Recorded<ContextEvent>, DecodeError> {
        self.contexts.decode(record).await
    }

    async fn route(
        &self,
        partition: i32,
        input: &Recorded<DeliveryAccepted>,
    ) -> Result<Vec<(String, ContextCommand)>, Failure> {
        let meta = &input.meta;
        let snapshot = self.sources.with_source(&input.event.source_id).await?;
        let source = snapshot
            .source(&input.event.source_id)
            // A source of the same name that belongs to somebody else by now
            // does not say how this delivery is read.
            .filter(|source| *source.tenant == meta.tenant)
            .map(|source| source.resource);
        let reading =
            read(meta, &input.event, source, &self.model_digest).map_err(Failure::poison)?;
        let mut received = reading.received;
        let candidate = Candidate {
            delivery: received.delivery,
            context_id: received.context_id,
            profile: reading.profile,
            text: received.text.clone(),
        };
        let placement = self
            .indexes
            .place(partition, &candidate, self.threshold)
            .await
            .map_err(Failure::transient)?;
        let verdict = match placement {
            Placement::Placed(_) => return Ok(Vec::new()),
            Placement::Same(context_id) => {
                received.context_id = context_id;
                Verdict::Same
            }
            Placement::Near { into, cosine } => {
                received.context_id = into;
                Verdict::Near { cosine }
            }
            Placement::New { neighbour } => Verdict::New {
                neighbour,
                subscribers: self
                    .sources
                    .subscribers(&meta.tenant, &received.space, &received.kind)
                    .await?,
            },
        };
        self.note_arrival(meta.id, meta.at);
        let stream = received.context_id.to_string();
        Ok(vec![(stream, ContextCommand { received, verdict })])
    }

    fn command(
        &self,
        _input: &Recorded<DeliveryAccepted>,
        route: ContextCommand,
        _state: &ContextState,
        _now: Timestamp,
    ) -> Result<Option<ContextCommand>, Failure> {
        Ok(Some(route))
    }

    fn decided(&self, partition: i32, events: &[Recorded<ContextEvent>]) {
        self.indexes.decided(partition, events);
        for recorded in events {
            let (outcome, delivery) = match &recorded.event {
                ContextEvent::Shared(shared) => ("shared", shared.delivery),
                ContextEvent::Merged(merged) if merged.exact => ("merged-exact", merged.delivery),
                ContextEvent::Merged(merged) => ("merged-near", merged.delivery),
            };
            // What is folded on takeover was counted by whoever decided it.
            let Some(at) = self.arrival(delivery) else {
                continue;
            };
            let seconds = (recorded.meta.at.as_micros() - at.as_micros()).max(0) as f64 / 1e6;
            counter!("agentmesh_federation_contexts_total", "outcome" => outcome).increment(1);
            histogram!("agentmesh_federation_seconds", "outcome" => outcome).record(seconds);
            info!(
                context.id = %recorded.meta.stream,
                delivery.id = %delivery,
                context.outcome = outcome,
                "delivery placed"
            );
        }
    }

    fn reset(&self, partition: i32) {
        self.indexes.reset(partition);
    }

    fn owned(&self, partition: i32) {
        self.indexes.keep_open(partition);
    }

    fn rejected(
        &self,
        _input: &Recorded<DeliveryAccepted>,
        stream: &str,
        rejection: &ContextRejection,
    ) -> Rejected {
        // The index and the stream disagree, which they never should. Nothing is
        // lost over it: the delivery waits where an operator finds it.
        Rejected::DeadLetter(format!("context {stream}: {rejection}"))
    }

    fn encode_event(
        &self,
        recorded: &Recorded<ContextEvent>,
    ) -> Result<Outgoing, platform_log::Error> {
        self.encoder.encode::<Contexts>(recorded)
    }

    fn encode_request(
        &self,
        cause: &Recorded<ContextEvent>,
        ordinal: usize,
        request: NotificationEvent,
    ) -> Result<Outgoing, platform_log::Error> {
        let NotificationEvent::Notified(notified) = &request;
        let stream = notified.notification_id.to_string();
        // A notification is told once: it is the first and last event of its stream.
        let meta = request_metadata(&cause.meta, ordinal, stream, 1, SOURCE);
        self.encoder.encode::<Notifications>(&Recorded {
            meta,
            event: request,
        })
    }
}
