use std::time::Duration;

use platform_config::Settings;
use platform_log::{Encoder, Producer};
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_vault::Vault;
use projections_registry_view::RegistryView;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ingest::{Appender, Idempotency, Policies, Remembering, in_flight_ttl};
use crate::refusals::{Recording, Refusals};
use crate::sources::Sources;

/// All that a request needs.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) sources: Sources,
    pub(crate) policies: Policies,
    pub(crate) idempotency: Idempotency,
    pub(crate) appender: Appender,
    pub(crate) refusals: Refusals,
    pub(crate) pool: Pool,
    /// Told when an append failed, so that somebody looks after the log.
    pub(crate) log_trouble: Notify,
    pub(crate) max_body_bytes: usize,
    /// For the arrival of a body.
    pub(crate) read_deadline: Duration,
    pub(crate) timestamp_tolerance_seconds: u64,
    /// Without a slash at the end; empty where none is set.
    pub(crate) public_url: String,
}

/// The connections a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub view: RegistryView,
    pub vault: Vault,
    pub redis: Redis,
    pub pool: Pool,
    pub producer: Producer,
    pub encoder: Encoder,
}

/// What works behind the answers.
#[derive(Debug)]
pub struct Background {
    remembering: Remembering,
    recording: Recording,
    producer: Producer,
    encoder: Encoder,
}

impl Background {
    /// Works until `shutdown`, which comes after the last answer, and then off
    /// what is still waiting.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(
            self.remembering.run(shutdown.clone()),
            self.recording.run(self.producer, self.encoder, shutdown),
        );
    }
}

impl Gateway {
    pub fn new(settings: &Settings, parts: Parts) -> (Self, Background) {
        let deadline = Duration::from_millis(settings.gateway.request_timeout_ms);
        let public_url = settings
            .gateway
            .public_url
            .as_deref()
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned();
        let (idempotency, remembering) = Idempotency::new(
            parts.redis,
            parts.pool.clone(),
            in_flight_ttl(deadline),
            public_url.clone(),
        );
        let (refusals, recording) = Refusals::new();
        let gateway = Self {
            sources: Sources::new(parts.view.clone(), parts.vault),
            policies: Policies::new(parts.view),
            idempotency,
            appender: Appender::new(
                parts.producer.clone(),
                parts.encoder.clone(),
                deadline,
                queue_limit(settings),
            ),
            refusals,
            pool: parts.pool,
            log_trouble: Notify::new(),
            max_body_bytes: settings.gateway.max_body_bytes,
            read_deadline: deadline,
            timestamp_tolerance_seconds: settings.gateway.timestamp_tolerance_s,
            public_url,
        };
        let background = Background {
            remembering,
            recording,
            producer: parts.producer,
            encoder: parts.encoder,
        };
        (gateway, background)
    }
}

/// Nine tenths of what the producer holds: a delivery never has to wait for room.
fn queue_limit(settings: &Settings) -> usize {
    (settings.kafka.queue_max_messages as usize * 9 / 10).max(1)
}
