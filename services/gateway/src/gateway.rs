use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain_kernel::{ExecutionId, TenantId};
use platform_config::Settings;
use platform_http::axum::body::Body;
use platform_http::{Problem, read_body};
use platform_identity::{Identity, Used};
use platform_log::{Encoder, Producer};
use platform_postgres::Pool;
use platform_redis::{Batch, Redis};
use platform_vault::Vault;
use projections_registry_view::RegistryView;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::cache::Cache;
use crate::ingest::{Appender, Idempotency, Policies, Remembering, in_flight_ttl};
use crate::invoke::Results;
use crate::limits::{Admission, Admitted, Arrivals, RateLimits};
use crate::read_models::ReadModels;
use crate::refusals::{Recording, Refusals};
use crate::sources::Sources;

/// How long the read model may take to know what was asked.
const ASKED_FOR: Duration = Duration::from_secs(60 * 60);
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// All that a request needs.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) sources: Sources,
    pub(crate) policies: Policies,
    pub(crate) idempotency: Idempotency,
    pub(crate) appender: Appender,
    pub(crate) refusals: Refusals,
    pub(crate) admission: Admission,
    pub(crate) arrivals: Arrivals,
    pub(crate) rate_limits: RateLimits,
    pub(crate) pool: Pool,
    /// Told when an append failed, so that somebody looks after the log.
    pub(crate) log_trouble: Notify,
    pub(crate) max_body_bytes: usize,
    /// For the arrival of a body.
    pub(crate) read_deadline: Duration,
    pub(crate) timestamp_tolerance_seconds: u64,
    /// Without a slash at the end; empty where none is set.
    pub(crate) public_url: String,
    pub(crate) view: RegistryView,
    pub(crate) identity: Identity,
    /// What was answered under an `Idempotency-Key`.
    pub(crate) answers: Answers,
    pub(crate) read_models: ReadModels,
    /// Who waits for which agent's answer.
    pub(crate) results: Results,
    /// Room for callers who wait.
    pub(crate) invocations: Arc<Semaphore>,
    pub(crate) invoke_wait: Duration,
    pub(crate) batch_max_events: usize,
    pub(crate) cache: Cache,
}

/// The connections a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub view: RegistryView,
    pub identity: Identity,
    pub results: Results,
    pub vault: Vault,
    pub redis: Redis,
    pub pool: Pool,
    pub producer: Producer,
    pub encoder: Encoder,
}

/// What a gateway leaves out so that its cost can be measured. No setting leads
/// here: a gateway that runs leaves nothing out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shortcuts {
    /// Takes every delivery for the first of its id.
    pub forgets: bool,
    /// Answers before the log has acknowledged.
    pub does_not_wait: bool,
}

/// What works behind the answers.
#[derive(Debug)]
pub struct Background {
    remembering: Remembering,
    recording: Recording,
    answers: Answers,
    used: Used,
    redis: Redis,
    producer: Producer,
    encoder: Encoder,
}

impl Background {
    /// Works until `shutdown`, which comes after the last answer, and then off
    /// what is still waiting.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(
            self.remembering.run(shutdown.clone()),
            self.recording
                .run(self.producer, self.encoder, shutdown.clone()),
            self.answers.run(shutdown.clone()),
            note_used(&self.used, &self.redis, shutdown),
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
        let rate_limits = RateLimits::new(&settings.gateway.rate_limits, parts.redis.clone());
        let cache = Cache::new(parts.redis.clone());
        let (idempotency, remembering) = Idempotency::new(
            parts.redis.clone(),
            cache.clone(),
            parts.pool.clone(),
            in_flight_ttl(deadline),
            public_url.clone(),
        );
        let (refusals, recording) = Refusals::new();
        let gateway = Self {
            sources: Sources::new(parts.view.clone(), parts.vault),
            policies: Policies::new(parts.view.clone()),
            view: parts.view,
            identity: parts.identity,
            answers: Answers::new(parts.pool.clone(), cache.clone()),
            read_models: ReadModels::new(),
            results: parts.results,
            invocations: Arc::new(Semaphore::new(settings.gateway.invoke_concurrency)),
            invoke_wait: Duration::from_millis(settings.gateway.invoke_wait_ms),
            batch_max_events: settings.gateway.batch_max_events,
            cache,
            idempotency,
            appender: Appender::new(
                parts.producer.clone(),
                parts.encoder.clone(),
                deadline,
                queue_limit(settings),
            ),
            refusals,
            admission: Admission::new(
                settings.gateway.max_concurrent_requests,
                settings
                    .gateway
                    .admission_queue_records
                    .min(queue_limit(settings)),
            ),
            // As many as may be worked at: each holds at most one body.
            arrivals: Arrivals::new(settings.gateway.max_concurrent_requests),
            rate_limits,
            pool: parts.pool,
            log_trouble: Notify::new(),
            max_body_bytes: settings.gateway.max_body_bytes,
            read_deadline: deadline,
            timestamp_tolerance_seconds: settings.gateway.timestamp_tolerance_s,
            public_url,
        };
        let background = Background {
            answers: gateway.answers.clone(),
            used: gateway.identity.used(),
            redis: parts.redis,
            remembering,
            recording,
            producer: parts.producer,
            encoder: parts.encoder,
        };
        (gateway, background)
    }
}

impl Gateway {
    /// Whether there is room for one more request that ends on the log, as far
    /// as can be told before it is read.
    pub(crate) fn look(&self) -> Result<(), Problem> {
        self.admission.look(self.appender.queued())
    }

    /// The body, read within its limits of size and time, and leave to work at it.
    pub(crate) async fn receive(
        &self,
        body: Body,
        declared: Option<u64>,
    ) -> Result<(Bytes, Admitted), Problem> {
        let reading = read_body(body, declared, self.max_body_bytes);
        let in_time = async {
            tokio::time::timeout(self.read_deadline, reading)
                .await
                .map_err(|_| Problem::request_timeout())?
        };
        let body = self.arrivals.receive(in_time).await?;
        Ok((body, self.admission.admit()?))
    }

    /// Notes what was asked a moment ago: the read model is a moment behind.
    /// Only who is about to tell the address need wait for it.
    pub(crate) fn note_asked(&self, id: ExecutionId, tenant: &TenantId) -> JoinHandle<()> {
        let (cache, key) = (self.cache.clone(), asked_key(id));
        let tenant = tenant.as_str().as_bytes().to_vec();
        // Without it the address is told nothing for a moment longer.
        tokio::spawn(async move { cache.set(&key, tenant, ASKED_FOR).await })
    }

    /// Whose question it was, if it was asked a moment ago.
    pub(crate) async fn was_asked(&self, id: ExecutionId) -> Option<TenantId> {
        let tenant = self.cache.get(&asked_key(id)).await?;
        String::from_utf8(tenant).ok().map(TenantId::new)
    }
}

fn asked_key(id: ExecutionId) -> String {
    format!("asked:{id}")
}

/// Writes down when keys were used, now and then and at the end.
async fn note_used(used: &Used, redis: &Redis, shutdown: CancellationToken) {
    loop {
        let last = shutdown
            .run_until_cancelled(tokio::time::sleep(NOTE_EVERY))
            .await
            .is_none();
        let mut batch = Batch::new();
        for (id, at) in used.take() {
            batch.set(format!("key-used:{id}"), at.to_rfc3339().into_bytes(), None);
        }
        // What is lost here is only when a key was last used.
        let _ = redis.run(batch).await;
        if last {
            return;
        }
    }
}

impl Gateway {
    /// For benchmarks only.
    #[must_use]
    pub fn with_shortcuts(mut self, shortcuts: Shortcuts) -> Self {
        self.idempotency.forgets(shortcuts.forgets);
        self.appender.does_not_wait(shortcuts.does_not_wait);
        self
    }
}

/// Nine tenths of what the producer holds: a delivery never has to wait for room.
fn queue_limit(settings: &Settings) -> usize {
    (settings.kafka.queue_max_messages as usize * 9 / 10).max(1)
}
