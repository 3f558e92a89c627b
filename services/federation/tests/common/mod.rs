//! The log around the federation role, its read models, and a voice to ask it with.

use std::sync::Arc;
use std::time::Duration;

use domain_context::ContextEvent;
use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent};
use domain_kernel::{Codec, CorrelationId, EventId, Metadata, Recorded, Space, TenantId};
use domain_registry::{
    RegistryEvent, Resource, ResourceDefined, Source, Subscription, SubscriptionTarget,
};
use platform_http::{ClientOptions, Readiness, reqwest};
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, SchemaRegistry, TopicSpec, subject,
};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink, run_projection, run_store_projection};
use platform_redis::Redis;
use platform_testkit::{TestBed, eventually};
use projections_context_cache::ContextCacheProjection;
use projections_contexts::ContextsProjection;
use schemas::{Contexts, Deliveries, KeyKind, Registry};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const KIND: &str = "support.ticket.created";
pub(crate) const ADA: &str = "ada@example.com";

pub(crate) struct Mesh {
    pub(crate) bed: TestBed,
    pub(crate) registry: SchemaRegistry,
    pub(crate) deps: Deps,
    pub(crate) redis: Redis,
    encoder: Encoder,
    http: reqwest::Client,
}

/// A running role, or a read model.
pub(crate) struct Running {
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

impl Mesh {
    /// With the source `zapier` of `acme`, and somebody who subscribes to its tickets.
    pub(crate) async fn new(name: &str) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let settings = Arc::new(bed.settings.clone());
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
        let mesh = Self {
            encoder: Encoder::resolve(&registry, entries).await.unwrap(),
            deps: Deps {
                pool: Pool::connect(&settings.postgres).unwrap(),
                producer: Producer::new(&settings.kafka).unwrap(),
                readiness: ReadinessSink::none(),
                settings: settings.clone(),
            },
            redis: Redis::connect(&settings.redis).await.unwrap(),
            http: platform_http::client(ClientOptions::with_timeout(PATIENCE)).unwrap(),
            registry,
            bed,
        };
        mesh.define("zapier", Resource::Source(source())).await;
        let subscription = Resource::Subscription(Subscription {
            space: Space::new("support"),
            context_kind: KIND.to_owned(),
            target: SubscriptionTarget::Topic,
        });
        mesh.define("tickets", subscription).await;
        mesh
    }

    pub(crate) fn start(&self) -> Running {
        let shutdown = CancellationToken::new();
        let role = services_federation::run(
            self.deps.settings.clone(),
            Readiness::new(),
            shutdown.clone(),
        );
        let task = tokio::spawn(async move { role.await.unwrap() });
        Running {
            shutdown,
            tasks: vec![task],
        }
    }

    pub(crate) fn start_read_models(&self) -> Running {
        let shutdown = CancellationToken::new();
        let stored = run_projection(
            ContextsProjection::new(self.registry.clone()),
            self.deps.clone(),
            shutdown.clone(),
        );
        let cached = run_store_projection(
            ContextCacheProjection::new(self.redis.clone(), self.registry.clone()),
            self.deps.clone(),
            shutdown.clone(),
        );
        Running {
            shutdown,
            tasks: vec![
                tokio::spawn(async move { stored.await.unwrap() }),
                tokio::spawn(async move { cached.await.unwrap() }),
            ],
        }
    }

    /// A ticket of acme's, as the gateway would have taken it in.
    pub(crate) async fn deliver(&self, id: &str, body: &Value) -> CorrelationId {
        self.deliver_as("acme", id, body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn deliver_as(&self, tenant: &str, id: &str, body: &[u8]) -> CorrelationId {
        let correlation = CorrelationId::of_delivery("zapier", id);
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let subject = parsed["payload"]["customer"]["email"].as_str();
        let event = DeliveryEvent::Accepted(DeliveryAccepted {
            source_id: "zapier".to_owned(),
            delivery_id: id.to_owned(),
            space: Space::new("support"),
            scheme: "standard-webhooks".to_owned(),
            auth: AuthMethod::HmacSha256,
            key_id: None,
            content_type: "application/json".to_owned(),
            body: body.to_vec(),
            body_sha256: "00".to_owned(),
            signed_headers: Vec::new(),
            event_type: KIND.to_owned(),
            subject: subject.map(ToOwned::to_owned),
            request: None,
            source_version: None,
            quarantine: None,
        });
        let stream = correlation.to_string();
        self.append::<Deliveries>(tenant, correlation, &stream, event)
            .await;
        correlation
    }

    async fn define(&self, id: &str, resource: Resource) {
        let stream = format!("{}/{id}", resource.kind().as_str());
        let event = RegistryEvent::Defined(ResourceDefined {
            id: id.to_owned(),
            tenant: TenantId::new("acme"),
            resource,
        });
        let correlation = CorrelationId::derive(&["registry"]);
        self.append::<Registry>("acme", correlation, &stream, event)
            .await;
    }

    async fn append<C: Codec>(
        &self,
        tenant: &str,
        correlation: CorrelationId,
        stream: &str,
        event: C::Event,
    ) {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&[C::TOPIC, stream]),
                tenant: TenantId::new(tenant),
                correlation,
                causation: None,
                stream: stream.to_owned(),
                version: 1,
                at: platform_telemetry::now(),
                source: "/test".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        };
        let outgoing = self.encoder.encode::<C>(&recorded).unwrap();
        self.deps.producer.append(outgoing).await.unwrap();
    }

    /// All events of a topic, each partition's in order.
    pub(crate) async fn read<C: Codec>(&self) -> Vec<Recorded<C::Event>> {
        let decoder = Decoder::<C>::new(self.registry.clone());
        let mut events = Vec::new();
        for record in self.records(C::TOPIC).await {
            events.push(decoder.decode(&record).await.unwrap());
        }
        events
    }

    pub(crate) async fn records(&self, topic: &str) -> Vec<platform_log::Record> {
        let kafka = &self.bed.settings.kafka;
        let partitions = i32::try_from(kafka.partitions).unwrap();
        let starts = (0..partitions).map(|partition| (partition, 0));
        let mut reader = PartitionReader::open(kafka, topic, starts).unwrap();
        reader.read_to_end().await.unwrap()
    }

    /// Waits for the event that a delivery led to.
    pub(crate) async fn placed(&self, correlation: CorrelationId) -> ContextEvent {
        eventually(PATIENCE, || async move {
            let mut events = self.read::<Contexts>().await.into_iter();
            events.find(|recorded| recorded.meta.correlation == correlation)
        })
        .await
        .unwrap()
        .event
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.bed.settings.federation.listen);
        let answer = self.http.get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    /// Waits for an answer that is good enough.
    pub(crate) async fn asked(&self, path: &str, good: impl Fn(&Value) -> bool + Copy) -> Value {
        eventually(PATIENCE, || async move {
            let (status, body) = self.get(path).await;
            if status == 200 && good(&body) {
                Ok(body)
            } else {
                Err(format!("{status} {body}"))
            }
        })
        .await
        .unwrap()
    }
}

fn source() -> Source {
    Source {
        space: Space::new("support"),
        scheme: "standard-webhooks".to_owned(),
        secrets: Vec::new(),
        event_type_pointer: Some("/event_type".to_owned()),
        event_type: None,
        subject_pointer: Some("/payload/customer/email".to_owned()),
        text_pointers: vec!["/payload/subject".to_owned(), "/payload/body".to_owned()],
        content_pointer: Some("/payload".to_owned()),
        signing: None,
        event_types: Vec::new(),
    }
}

/// A ticket as Zapier sends it.
pub(crate) fn ticket(id: &str, text: &str, amount: f64) -> Value {
    json!({
        "event_type": KIND,
        "payload": {
            "ticket_id": id,
            "subject": "Refund for order 4711",
            "body": text,
            "customer": {"name": "Ada Lovelace", "email": ADA},
            "amount": amount,
        }
    })
}

/// What Ada wrote.
pub(crate) const CHARGED: &str = "I was charged 129.90 EUR twice for order 4711 on Monday. Please refund \
    the second charge as soon as possible, my account is overdrawn because of it.";
/// What Ada wrote again, without looking at it.
pub(crate) const CHARGED_AGAIN: &str = "I was charged 129.90 EUR twice for order 4711 on Monday! Please \
    refund the second charge as soon as possible: my account is overdrawn because of this.";
