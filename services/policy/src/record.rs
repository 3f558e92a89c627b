//! Decisions on their way to `mesh.decisions`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain_kernel::{Actor, CorrelationId, DecisionId, EventId, Metadata, Recorded, TenantId};
use domain_policy::{PolicyDecided, PolicyEvent};
use platform_log::{Encoder, Producer};
use schemas::Decisions;
use tracing::warn;

/// How long the log may take to acknowledge before the question is refused.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
const SOURCE: &str = "/agentmesh/policy";

/// Makes decision ids and appends decisions.
pub(crate) struct Recorder {
    producer: Producer,
    /// Filled once the schemas are known.
    encoder: OnceLock<Encoder>,
    /// Different in each process.
    instance: String,
    asked: AtomicU64,
}

/// The log did not take a decision, so it was not taken.
#[derive(Debug)]
pub(crate) struct NotRecorded;

impl Recorder {
    pub(crate) fn new(producer: Producer) -> Self {
        let started = platform_telemetry::now().as_micros();
        Self {
            producer,
            encoder: OnceLock::new(),
            instance: format!("{}-{started}", std::process::id()),
            asked: AtomicU64::new(0),
        }
    }

    pub(crate) fn encode_with(&self, encoder: Encoder) {
        // Set once, when the service starts.
        let _ = self.encoder.set(encoder);
    }

    /// An id no other question has.
    pub(crate) fn next_id(&self) -> DecisionId {
        let ordinal = self.asked.fetch_add(1, Ordering::Relaxed);
        DecisionId::derive(&["policy", &self.instance, &ordinal.to_string()])
    }

    /// Appends `decided` and waits for the acknowledgement. A decision asked
    /// for here is a stream of its own: only the gateway writes to that of a
    /// delivery.
    pub(crate) async fn record(
        &self,
        tenant: TenantId,
        actor: Option<Actor>,
        decided: PolicyDecided,
    ) -> Result<(), NotRecorded> {
        let encoder = self.encoder.get().ok_or(NotRecorded)?;
        let decision = decided.decision_id.to_string();
        let correlation = CorrelationId::derive(&["decision", &decision]);
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["decision", &decision]),
                tenant,
                correlation,
                causation: None,
                stream: correlation.to_string(),
                version: 1,
                at: platform_telemetry::now(),
                source: SOURCE.to_owned(),
                traceparent: platform_telemetry::current_traceparent(),
                actor,
            },
            event: PolicyEvent::Decided(decided),
        };
        let outgoing = encoder.encode::<Decisions>(&recorded).map_err(|error| {
            warn!(error = %error, cause = ?error, "a decision does not encode");
            NotRecorded
        })?;
        match tokio::time::timeout(ACKNOWLEDGED_WITHIN, self.producer.append(outgoing)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                warn!(error = %error, cause = ?error, "a decision was not acknowledged");
                Err(NotRecorded)
            }
            Err(_) => {
                warn!("a decision was not acknowledged in time");
                Err(NotRecorded)
            }
        }
    }
}
