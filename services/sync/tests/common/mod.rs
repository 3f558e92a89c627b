//! The log around the sync role: whoever else writes to it is played here.

pub(crate) mod crm;

use std::sync::Arc;
use std::time::Duration;

use domain_effect::{EffectEvent, EffectRequest, EffectRequested, Operation};
use domain_kernel::{
    Codec, CorrelationId, EffectId, EventId, Json, Metadata, Recorded, TenantId, WorkflowId,
};
use domain_registry::{Connector, RegistryEvent, Resource, ResourceDefined, ResourceKind, Secret};
use platform_http::Readiness;
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, SchemaRegistry, TopicSpec, subject,
};
use platform_testkit::{TestBed, eventually};
use platform_vault::Vault;
use projections_registry_view::secret_context;
use schemas::{Effects, KeyKind, Outcomes, Registry};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::crm::TOKEN;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Mesh {
    pub(crate) bed: TestBed,
    registry: SchemaRegistry,
    producer: Producer,
}

/// A running role, on threads of its own so that it can be killed.
pub(crate) struct Role {
    runtime: Runtime,
    shutdown: CancellationToken,
    pub(crate) readiness: Readiness,
    task: JoinHandle<Result<(), services_sync::Error>>,
}

impl Role {
    /// What it is waiting for, or that it is ready.
    pub(crate) fn state(&self) -> String {
        format!("{:?}", self.readiness.components())
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        self.runtime.shutdown_background();
    }

    /// Ends it in the middle of whatever it does, all its tasks included.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let runtime = self.runtime;
        let killed = tokio::task::spawn_blocking(|| runtime.shutdown_timeout(PATIENCE));
        killed.await.unwrap();
    }
}

impl Mesh {
    pub(crate) async fn new(name: &str, partitions: u32) -> Self {
        let mesh = Self::without_schemas(name, partitions).await;
        mesh.publish_schemas().await;
        mesh
    }

    /// A log with its topics only.
    pub(crate) async fn without_schemas(name: &str, partitions: u32) -> Self {
        let mut bed = TestBed::new(name).await.unwrap();
        bed.settings.kafka.partitions = partitions;
        let settings = &bed.settings;
        let topics: Vec<TopicSpec> = schemas::TOPICS
            .iter()
            .map(|(topic, kind)| match kind {
                KeyKind::Single => TopicSpec::new(*topic, 1),
                _ => TopicSpec::new(*topic, partitions),
            })
            .collect();
        let admin = Admin::new(&settings.kafka).unwrap();
        eventually(PATIENCE, || admin.ensure_topics(&topics))
            .await
            .unwrap();
        let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
        let producer = Producer::new(&settings.kafka).unwrap();
        Self {
            bed,
            registry,
            producer,
        }
    }

    pub(crate) async fn publish_schemas(&self) {
        for entry in schemas::catalogue() {
            let subject = subject(entry.topic, entry.name);
            self.registry.register(&subject, entry.text).await.unwrap();
        }
    }

    pub(crate) fn start(&self) -> Role {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new();
        let task = runtime.spawn(services_sync::run(
            Arc::new(self.bed.settings.clone()),
            readiness.clone(),
            shutdown.clone(),
        ));
        Role {
            runtime,
            shutdown,
            readiness,
            task,
        }
    }

    /// Appends an event as whoever writes that topic would.
    pub(crate) async fn append<C: Codec>(
        &self,
        tenant: &str,
        stream: &str,
        version: u64,
        event: C::Event,
    ) {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&[C::TOPIC, stream, &version.to_string()]),
                tenant: TenantId::new(tenant),
                correlation: CorrelationId::derive(&["k"]),
                causation: None,
                stream: stream.to_owned(),
                version,
                at: platform_telemetry::now(),
                source: "/test".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        };
        let entries = schemas::catalogue()
            .iter()
            .filter(|entry| entry.topic == C::TOPIC)
            .map(|entry| (entry.topic, entry.name, entry.text));
        let encoder = Encoder::wait_for(&self.registry, entries).await;
        let outgoing = encoder.encode::<C>(&recorded).unwrap();
        self.producer.append(outgoing).await.unwrap();
    }

    /// Registers connector `id` of tenant `acme` at `base_url`.
    pub(crate) async fn connector(&self, id: &str, base_url: &str, timeout_ms: u64) {
        let settings = &self.bed.settings;
        let vault = Vault::from_settings(&settings.secrets, &settings.data_dir).unwrap();
        let context = secret_context(ResourceKind::Connector, id, "token");
        let event = RegistryEvent::Defined(ResourceDefined {
            id: id.to_owned(),
            tenant: TenantId::new("acme"),
            resource: Resource::Connector(Connector {
                system: "hubspot".to_owned(),
                base_url: base_url.to_owned(),
                credential: Secret {
                    id: "token".to_owned(),
                    sealed: vault.seal(TOKEN, &context).unwrap(),
                    valid_from: None,
                    valid_until: None,
                },
                timeout_ms,
                max_attempts: 3,
            }),
        });
        let stream = format!("connector/{id}");
        self.append::<Registry>("acme", &stream, 1, event).await;
    }

    pub(crate) async fn ask(&self, tenant: &str, effect: &EffectRequested) {
        let stream = effect.effect_id.to_string();
        let event = EffectRequest::Requested(effect.clone());
        self.append::<Effects>(tenant, &stream, 1, event).await;
    }

    /// Everything on the log about one effect, its versions counted without gaps.
    pub(crate) async fn story(&self, effect: &EffectRequested) -> Vec<EffectEvent> {
        let settings = &self.bed.settings;
        let partitions = i32::try_from(settings.kafka.partitions).unwrap();
        // A broker under load may not lead a new topic at once.
        let records = eventually(PATIENCE, || async move {
            let starts = (0..partitions).map(|partition| (partition, 0));
            PartitionReader::open(&settings.kafka, Outcomes::TOPIC, starts)?
                .read_to_end()
                .await
        })
        .await
        .unwrap();
        let decoder = Decoder::<Outcomes>::new(self.registry.clone());
        let mut events = Vec::new();
        for record in records {
            let recorded = decoder.decode(&record).await.unwrap();
            if recorded.meta.stream == effect.effect_id.to_string() {
                assert_eq!(recorded.meta.version, events.len() as u64 + 1);
                assert_eq!(recorded.meta.correlation, CorrelationId::derive(&["k"]));
                events.push(recorded.event);
            }
        }
        events
    }

    /// Waits for an event about an effect.
    pub(crate) async fn story_until(
        &self,
        effect: &EffectRequested,
        until: impl Fn(&EffectEvent) -> bool + Copy,
    ) -> Vec<EffectEvent> {
        eventually(PATIENCE, || async move {
            let story = self.story(effect).await;
            story.iter().any(until).then_some(story)
        })
        .await
        .unwrap()
    }

    /// Waits for the outcome of an effect.
    pub(crate) async fn whole_story(&self, effect: &EffectRequested) -> Vec<EffectEvent> {
        self.story_until(effect, |event| {
            matches!(event, EffectEvent::Confirmed(_) | EffectEvent::Failed(_))
        })
        .await
    }
}

/// The names of events; of a failure its code too, of a reading what it found.
pub(crate) fn names(story: &[EffectEvent]) -> Vec<String> {
    let name = |event: &EffectEvent| match event {
        EffectEvent::Attempted(attempted) => format!("attempted {}", attempted.attempt),
        EffectEvent::Confirmed(_) => "confirmed".to_owned(),
        EffectEvent::Failed(failed) => format!("failed {}", failed.code),
        EffectEvent::Unknown(_) => "unknown".to_owned(),
        EffectEvent::Reconciled(reconciled) => format!("reconciled {}", reconciled.found),
    };
    story.iter().map(name).collect()
}

pub(crate) fn effect(
    name: &str,
    operation: Operation,
    external_id: &str,
    properties: &Value,
) -> EffectRequested {
    EffectRequested {
        effect_id: EffectId::derive(&[name]),
        workflow_id: WorkflowId::derive(&["w"]),
        step: "crm".to_owned(),
        compensation: false,
        connector_id: "crm".to_owned(),
        operation,
        object: "tickets".to_owned(),
        id_property: "agentmesh_id".to_owned(),
        external_id: external_id.to_owned(),
        properties: Json::from_text(properties.to_string()),
        deadline: platform_telemetry::now().plus_millis(120_000),
    }
}
