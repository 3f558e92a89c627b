//! A tiny mesh for the tests of the runners: presses are counted, counts ask
//! for something, and what is asked gets answered.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of several test files")]

pub mod answering;
pub mod applying;
pub mod counter;
pub mod counting;
pub mod proxy;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{Codec, CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp};
use platform_config::Settings;
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, Record, SchemaRegistry, TopicSpec, subject,
};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink};
use platform_testkit::TestBed;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use wire::{Answered, Answers, Asked, Asks, Counted, Counts, Pressed, Presses};

/// Long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const DEAD_LETTERS: &str = "mesh.dead-letters";

pub struct Bed {
    pub bed: TestBed,
    pub settings: Settings,
    pub admin: Admin,
    pub registry: SchemaRegistry,
    pub encoder: Encoder,
    pub producer: Producer,
    pub pool: Pool,
}

pub async fn bed(name: &str) -> Bed {
    let bed = TestBed::new(name).await.unwrap();
    let mut settings = bed.settings.clone();
    settings.dead_letters.attempts = 3;
    settings.dead_letters.first_pause_ms = 50;
    settings.dead_letters.schema_wait_ms = 1_000;
    let admin = Admin::new(&settings.kafka).unwrap();
    let partitions = settings.kafka.partitions;
    let topics = [
        Presses::TOPIC,
        Counts::TOPIC,
        Asks::TOPIC,
        Answers::TOPIC,
        DEAD_LETTERS,
    ];
    let specs: Vec<TopicSpec> = topics
        .iter()
        .map(|topic| TopicSpec::new(*topic, partitions))
        .collect();
    admin.ensure_topics(&specs).await.unwrap();
    let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
    for (topic, name, schema) in wire::CATALOGUE {
        registry
            .register(&subject(topic, name), schema)
            .await
            .unwrap();
    }
    let encoder = Encoder::resolve(&registry, wire::CATALOGUE).await.unwrap();
    Bed {
        admin,
        registry,
        encoder,
        producer: Producer::new(&settings.kafka).unwrap(),
        pool: Pool::connect(&settings.postgres).unwrap(),
        settings,
        bed,
    }
}

impl Bed {
    pub fn deps(&self) -> Deps {
        Deps {
            settings: Arc::new(self.settings.clone()),
            pool: self.pool.clone(),
            producer: self.producer.clone(),
            readiness: ReadinessSink::none(),
        }
    }

    /// As `deps`, with a pool of its own that goes through a proxy.
    pub fn deps_through(&self, proxy: &proxy::Proxy) -> Deps {
        let mut settings = self.settings.clone();
        settings.postgres.url = proxy.instead_of(&settings.postgres.url);
        Deps {
            pool: Pool::connect(&settings.postgres).unwrap(),
            settings: Arc::new(settings),
            ..self.deps()
        }
    }

    pub fn decoder<C: Codec>(&self) -> Decoder<C> {
        Decoder::new(self.registry.clone())
    }

    pub async fn press(&self, stream: &str, numbers: std::ops::Range<u64>) {
        let outgoing = numbers
            .map(|number| {
                self.encoder
                    .encode::<Presses>(&pressed(stream, number))
                    .unwrap()
            })
            .collect();
        self.producer.append_all(outgoing).await.unwrap();
    }

    pub async fn press_on(&self, partition: i32, recorded: &Recorded<Pressed>) {
        let outgoing = self.encoder.encode::<Presses>(recorded).unwrap();
        self.producer
            .append(outgoing.to_partition(partition))
            .await
            .unwrap();
    }

    pub async fn ask(&self, recorded: &Recorded<Asked>) {
        let outgoing = self.encoder.encode::<Asks>(recorded).unwrap();
        self.producer.append(outgoing).await.unwrap();
    }

    pub async fn read_all(&self, topic: &str) -> Vec<Record> {
        let from = (0..self.settings.kafka.partitions as i32).map(|partition| (partition, -1));
        let mut reader = PartitionReader::open(&self.settings.kafka, topic, from).unwrap();
        reader.read_to_end().await.unwrap()
    }

    pub async fn decode_all<C: Codec>(&self) -> Vec<Recorded<C::Event>> {
        let decoder = self.decoder::<C>();
        let mut events = Vec::new();
        for record in self.read_all(C::TOPIC).await {
            events.push(decoder.decode(&record).await.unwrap());
        }
        events
    }

    /// One number from Postgres; none when the query fails, as when there is no table yet.
    pub async fn number(&self, sql: &str) -> Option<i64> {
        let client = self.pool.get().await.ok()?;
        let row = client.query_one(sql, &[]).await.ok()?;
        row.try_get(0).ok()
    }
}

pub fn meta(kind: &str, stream: &str, version: u64) -> Metadata {
    Metadata {
        id: EventId::derive(&[kind, stream, &version.to_string()]),
        tenant: TenantId::new("acme"),
        correlation: CorrelationId::of_delivery("test", stream),
        causation: None,
        stream: stream.to_owned(),
        version,
        at: Timestamp::from_micros(1_790_000_000_000_000),
        source: "/agentmesh/test".to_owned(),
        traceparent: None,
        actor: None,
    }
}

pub fn pressed(stream: &str, number: u64) -> Recorded<Pressed> {
    Recorded {
        meta: meta("pressed", stream, number + 1),
        event: Pressed {
            stream: stream.to_owned(),
            number,
            text: String::new(),
        },
    }
}

pub fn asked(stream: &str, number: u64) -> Recorded<Asked> {
    Recorded {
        meta: meta("asked", stream, 1),
        event: Asked {
            stream: stream.to_owned(),
            number,
            cancels: None,
        },
    }
}

/// A runner on a task of its own.
pub struct Running {
    pub shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), platform_projector::Error>> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let run = run(shutdown.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        Self { shutdown, task }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// As a crash would: in the middle of whatever it does.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub type CountedEvents = Vec<Recorded<Counted>>;
pub type AnsweredEvents = Vec<Recorded<Answered>>;
