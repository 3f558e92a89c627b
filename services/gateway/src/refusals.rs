//! Deliveries that were not believed, recorded behind the answer. The queue is
//! bounded and its writer awaits the log, so that a flood of forgeries costs
//! neither memory nor the time of honest senders; what does not fit is counted.

use std::sync::Arc;
use std::time::Duration;

use domain_delivery::{DeliveryEvent, DeliveryRefused, RefusalReason};
use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, Timestamp};
use platform_log::{Encoder, Outgoing, Producer};
use schemas::Deliveries;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics;
use crate::sources::KnownSource;

/// Who records the gateway's events.
pub(crate) const SOURCE: &str = "/agentmesh/gateway";

const QUEUE: usize = 1_024;
const BATCH: usize = 64;
/// How long recording may go on after shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// A delivery turned away.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) source: Arc<KnownSource>,
    pub(crate) reason: RefusalReason,
    pub(crate) detail: String,
    pub body_sha256: String,
    pub(crate) body_bytes: usize,
    pub(crate) at: Timestamp,
    pub(crate) traceparent: Option<String>,
}

/// The end that requests give refusals to.
#[derive(Debug, Clone)]
pub(crate) struct Refusals {
    sender: mpsc::Sender<Refusal>,
}

impl Refusals {
    pub(crate) fn new() -> (Self, Recording) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender }, Recording { receiver })
    }

    pub(crate) fn push(&self, refusal: Refusal) {
        if self.sender.try_send(refusal).is_err() {
            metrics::refusal_dropped();
        }
    }
}

/// The task that appends refusals.
#[derive(Debug)]
pub(crate) struct Recording {
    receiver: mpsc::Receiver<Refusal>,
}

impl Recording {
    /// Records until `shutdown`, and then what is still waiting.
    pub(crate) async fn run(
        mut self,
        producer: Producer,
        encoder: Encoder,
        shutdown: CancellationToken,
    ) {
        let mut refusals = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv_many(&mut refusals, BATCH) => received,
                () = shutdown.cancelled() => break,
            };
            if received == 0 {
                return;
            }
            append(&producer, &encoder, refusals.drain(..)).await;
        }
        self.receiver.close();
        let rest = async {
            while self.receiver.recv_many(&mut refusals, BATCH).await > 0 {
                append(&producer, &encoder, refusals.drain(..)).await;
            }
        };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            warn!("refusals were not all recorded before the end");
        }
    }
}

async fn append(producer: &Producer, encoder: &Encoder, refusals: impl Iterator<Item = Refusal>) {
    let encoded: Result<Vec<Outgoing>, _> = refusals
        .map(|refusal| encoder.encode::<Deliveries>(&refusal.recorded()))
        .collect();
    let appended = match encoded {
        Ok(batch) => producer.append_all(batch).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = appended {
        metrics::refusal_dropped();
        warn!(error = %error, cause = ?error, "refusals not recorded");
    }
}

impl Refusal {
    /// The event. Neither stream nor correlation is taken from what the sender
    /// claims: a forger must not write into the stream of a real delivery.
    fn recorded(self) -> Recorded<DeliveryEvent> {
        let at = self.at.as_micros().to_string();
        let parts = ["refusal", &self.source.id, &self.body_sha256, &at];
        let correlation = CorrelationId::derive(&parts);
        let refused = DeliveryRefused {
            source_id: self.source.id.clone(),
            space: self.source.space.clone(),
            reason: self.reason,
            detail: self.detail,
            body_sha256: self.body_sha256,
            body_size: self.body_bytes as u64,
        };
        Recorded {
            meta: Metadata {
                id: EventId::derive(&["refusal", &correlation.to_string()]),
                tenant: self.source.tenant.clone(),
                correlation,
                causation: None,
                stream: correlation.to_string(),
                version: 1,
                at: self.at,
                source: SOURCE.to_owned(),
                traceparent: self.traceparent,
                // Whoever sent it did not show who they are.
                actor: None,
            },
            event: DeliveryEvent::Refused(refused),
        }
    }
}
