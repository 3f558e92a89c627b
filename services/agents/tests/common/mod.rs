//! The log around the agents role: whoever else writes to it is played here.

use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{Codec, CorrelationId, EventId, Metadata, Recorded, TenantId};
use platform_http::Readiness;
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, SchemaRegistry, TopicSpec, subject,
};
use platform_testkit::{TestBed, eventually};
use schemas::KeyKind;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Mesh {
    pub(crate) bed: TestBed,
    registry: SchemaRegistry,
    encoder: Encoder,
    producer: Producer,
}

/// A running role.
pub(crate) struct Role {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), services_agents::Error>>,
}

impl Role {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Mesh {
    pub(crate) async fn new(name: &str) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let settings = &bed.settings;
        let topics: Vec<TopicSpec> = schemas::TOPICS
            .iter()
            .map(|(topic, kind)| match kind {
                KeyKind::Single => TopicSpec::new(*topic, 1),
                _ => TopicSpec::new(*topic, settings.kafka.partitions),
            })
            .collect();
        let admin = Admin::new(&settings.kafka).unwrap();
        admin.ensure_topics(&topics).await.unwrap();
        let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
        for entry in schemas::catalogue() {
            let subject = subject(entry.topic, entry.name);
            registry.register(&subject, entry.text).await.unwrap();
        }
        let entries = schemas::catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        let encoder = Encoder::resolve(&registry, entries).await.unwrap();
        let producer = Producer::new(&settings.kafka).unwrap();
        Self {
            bed,
            registry,
            encoder,
            producer,
        }
    }

    pub(crate) fn start(&self) -> Role {
        let shutdown = CancellationToken::new();
        let settings = Arc::new(self.bed.settings.clone());
        let task = tokio::spawn(services_agents::run(
            settings,
            Readiness::new(),
            shutdown.clone(),
        ));
        Role { shutdown, task }
    }

    /// Appends an event as whoever writes that topic would.
    pub(crate) async fn append<C: Codec>(
        &self,
        correlation: CorrelationId,
        stream: &str,
        version: u64,
        event: C::Event,
    ) {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&[C::TOPIC, stream, &version.to_string()]),
                tenant: TenantId::new("acme"),
                correlation,
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
        let outgoing = self.encoder.encode::<C>(&recorded).unwrap();
        self.producer.append(outgoing).await.unwrap();
    }

    /// All events of a topic, each partition's in order.
    pub(crate) async fn read<C: Codec>(&self) -> Vec<Recorded<C::Event>> {
        let partitions = i32::try_from(self.bed.settings.kafka.partitions).unwrap();
        let starts = (0..partitions).map(|partition| (partition, 0));
        let mut reader = PartitionReader::open(&self.bed.settings.kafka, C::TOPIC, starts).unwrap();
        let decoder = Decoder::<C>::new(self.registry.clone());
        let mut events = Vec::new();
        for record in reader.read_to_end().await.unwrap() {
            events.push(decoder.decode(&record).await.unwrap());
        }
        events
    }

    /// Waits for an event of a topic.
    pub(crate) async fn wait_for<C: Codec, T>(
        &self,
        pick: impl Fn(&C::Event) -> Option<T> + Copy,
    ) -> T {
        eventually(PATIENCE, || async move {
            self.read::<C>()
                .await
                .iter()
                .find_map(|recorded| pick(&recorded.event))
        })
        .await
        .unwrap()
    }
}
