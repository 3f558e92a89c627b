//! A gateway under test: its log with a registered source and policy, its
//! process, senders, and a look at what stands on the log. Included by several
//! tests, of which none needs all of it.
#![allow(dead_code)]

pub(crate) mod drip;
pub(crate) mod users;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_delivery::DeliveryEvent;
use domain_kernel::{
    Codec, CorrelationId, EventId, Json, Metadata, Recorded, Space, TenantId, Timestamp,
};
use domain_policy::PolicyEvent;
use domain_registry::{
    Policy, RegistryEvent, Resource, ResourceDefined, ResourceKind, Secret, Source,
};
use hmac::{Hmac, KeyInit, Mac};
use platform_config::Settings;
use platform_http::Readiness;
use platform_http::reqwest::{Client, Response, StatusCode, header::HeaderMap};
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, SchemaRegistry, TopicSpec, subject,
};
use platform_postgres::Pool;
use platform_projector::{Deps, PgProjection, ReadinessSink, run_projection};
use platform_testkit::{TestBed, free_port};
use platform_vault::Vault;
use projections_registry_view::secret_context;
use schemas::{Decisions, Deliveries, KeyKind, Registry, TOPICS, catalogue};
use serde_json::Value;
use sha2::Sha256;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const GITHUB_SECRET: &str = "It's a Secret to Everybody";

/// Denies what is about `evil`, fails on what says `conflict`, allows the rest.
const POLICY: &str = r#"package mesh.ingest

allow if input.subject != "evil"

reasons contains "nothing evil" if input.subject == "evil"

allow := 1 if input.body.conflict
"#;

pub(crate) struct Bench {
    pub(crate) settings: Settings,
    pub(crate) schemas: SchemaRegistry,
    pub(crate) encoder: Encoder,
    pub(crate) producer: Producer,
    _bed: TestBed,
}

pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) client: Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), services_gateway::Error>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.headers.contains_key("idempotent-replayed")
    }

    /// The last segment of the problem's type.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let uri = self.json()["type"].as_str().unwrap().to_owned();
        uri.rsplit('/').next().unwrap().to_owned()
    }
}

impl Bench {
    pub(crate) async fn new(name: &str) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let settings = bed.settings.clone();
        let topics: Vec<_> = TOPICS
            .iter()
            .map(|(topic, key)| match key {
                KeyKind::Single => TopicSpec::new(*topic, 1),
                _ => TopicSpec::new(*topic, settings.kafka.partitions),
            })
            .collect();
        let admin = Admin::new(&settings.kafka).unwrap();
        admin.ensure_topics(&topics).await.unwrap();
        let schemas = SchemaRegistry::new(&settings.schema_registry).unwrap();
        for entry in catalogue() {
            let subject = subject(entry.topic, entry.name);
            schemas.register(&subject, entry.text).await.unwrap();
        }
        let entries = catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        let bench = Self {
            encoder: Encoder::resolve(&schemas, entries).await.unwrap(),
            producer: Producer::new(&settings.kafka).unwrap(),
            schemas,
            settings,
            _bed: bed,
        };
        bench.register_all().await;
        bench
    }

    /// Sources `zapier` (with an old secret that has run out), `github`, `slack`
    /// and `hubspot-v3` of tenant `acme`, with a policy; `lonely` of a tenant without one.
    async fn register_all(&self) {
        let past = Timestamp::from_millis(1_000);
        let zapier = [("new", SECRET, None), ("old", OLD_SECRET, Some(past))];
        let github = [("key", GITHUB_SECRET, None)];
        self.register(
            "acme",
            "zapier",
            self.source("zapier", "standard-webhooks", &zapier),
        )
        .await;
        self.register("acme", "github", self.source("github", "github", &github))
            .await;
        for scheme in ["slack", "hubspot-v3"] {
            self.register("acme", scheme, self.source(scheme, scheme, &github))
                .await;
        }
        self.register(
            "lonely",
            "lonely",
            self.source("lonely", "standard-webhooks", &zapier[..1]),
        )
        .await;
        let policy = Resource::Policy(Policy {
            modules: vec![("ingest.rego".to_owned(), POLICY.to_owned())],
            data: Json::from_text("{}"),
        });
        self.register("acme", "ingest", policy).await;
    }

    /// A source whose secrets are `(id, text, valid until)`.
    pub(crate) fn source(
        &self,
        id: &str,
        scheme: &str,
        secrets: &[(&str, &str, Option<Timestamp>)],
    ) -> Resource {
        let vault = Vault::from_settings(&self.settings.secrets, &self.settings.data_dir).unwrap();
        let seal = |(secret_id, text, until): &(&str, &str, Option<Timestamp>)| Secret {
            id: (*secret_id).to_owned(),
            sealed: vault
                .seal(text, &secret_context(ResourceKind::Source, id, secret_id))
                .unwrap(),
            valid_from: None,
            valid_until: *until,
        };
        Resource::Source(Source {
            space: Space::new("support"),
            scheme: scheme.to_owned(),
            secrets: secrets.iter().map(seal).collect(),
            event_type_pointer: Some("/event_type".to_owned()),
            event_type: None,
            subject_pointer: Some("/subject".to_owned()),
            text_pointers: Vec::new(),
            content_pointer: None,
            signing: None,
            event_types: Vec::new(),
        })
    }

    pub(crate) async fn register(&self, tenant: &str, id: &str, resource: Resource) {
        let stream = format!("{}/{id}", resource.kind().as_str());
        let event = Recorded {
            meta: Metadata {
                id: EventId::derive(&[&stream]),
                tenant: TenantId::new(tenant),
                correlation: CorrelationId::derive(&[&stream]),
                causation: None,
                stream,
                version: 1,
                at: Timestamp::from_millis(0),
                source: "/agentmesh/test".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: RegistryEvent::Defined(ResourceDefined {
                id: id.to_owned(),
                tenant: TenantId::new(tenant),
                resource,
            }),
        };
        let record = self.encoder.encode::<Registry>(&event).unwrap();
        self.producer.append(record).await.unwrap();
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(|_| ()).await
    }

    /// A gateway on a port of its own, with settings of its own.
    pub(crate) async fn start_with(&self, change: impl FnOnce(&mut Settings)) -> Running {
        let mut settings = self.settings.clone();
        settings.gateway.listen.set_port(free_port().unwrap());
        change(&mut settings);
        let base = format!("http://{}", settings.gateway.listen);
        let readiness = Readiness::new();
        let stop = CancellationToken::new();
        let task = tokio::spawn(services_gateway::run(
            Arc::new(settings),
            readiness.clone(),
            stop.clone(),
        ));
        tokio::time::timeout(PATIENCE, readiness.wait_ready())
            .await
            .expect("ready in time");
        Running {
            base,
            client: client(),
            stop,
            task,
        }
    }

    /// Keeps a read model up to date until it is told to stop.
    pub(crate) fn follow<P: PgProjection>(&self, projection: P) -> CancellationToken {
        let deps = Deps {
            settings: Arc::new(self.settings.clone()),
            pool: Pool::connect(&self.settings.postgres).unwrap(),
            producer: self.producer.clone(),
            readiness: ReadinessSink::none(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(run_projection(projection, deps, stop.clone()));
        stop
    }

    pub(crate) async fn deliveries(&self) -> Vec<Recorded<DeliveryEvent>> {
        self.events::<Deliveries>().await
    }

    pub(crate) async fn decisions(&self) -> Vec<Recorded<PolicyEvent>> {
        self.events::<Decisions>().await
    }

    /// All events of a topic.
    pub(crate) async fn events<C: Codec>(&self) -> Vec<Recorded<C::Event>> {
        let partitions = i32::try_from(self.settings.kafka.partitions).unwrap();
        let from = (0..partitions).map(|partition| (partition, 0));
        let mut reader = PartitionReader::open(&self.settings.kafka, C::TOPIC, from).unwrap();
        let decoder = Decoder::<C>::new(self.schemas.clone());
        let mut events = Vec::new();
        for record in reader.read_to_end().await.unwrap() {
            events.push(decoder.decode(&record).await.unwrap());
        }
        events
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Sends as a Standard Webhooks sender would, signed now.
    pub(crate) async fn deliver(&self, id: &str, body: &str) -> Answer {
        self.deliver_to("zapier", id, body, &sign(SECRET, id, now(), body))
            .await
    }

    pub(crate) async fn deliver_to(
        &self,
        source: &str,
        id: &str,
        body: &str,
        (timestamp, signature): &(i64, String),
    ) -> Answer {
        let timestamp = timestamp.to_string();
        self.post(
            source,
            &[
                ("content-type", "application/json"),
                ("webhook-id", id),
                ("webhook-timestamp", &timestamp),
                ("webhook-signature", signature),
            ],
            body.as_bytes(),
        )
        .await
    }

    pub(crate) async fn post(&self, source: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = self
            .client
            .post(format!("{}/hooks/{source}", self.base))
            .body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        Answer::of(response).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        Answer::of(response).await
    }
}

pub(crate) fn client() -> Client {
    platform_http::client(platform_http::ClientOptions::with_timeout(PATIENCE)).unwrap()
}

pub(crate) fn now() -> i64 {
    platform_telemetry::now().as_millis() / 1_000
}

/// The timestamp and the value of the signature header.
pub(crate) fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> (i64, String) {
    let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let mac = STANDARD.encode(mac.finalize().into_bytes());
    (timestamp, format!("v1,{mac}"))
}

/// HMAC-SHA256 under the secret of the sources that have a plain one.
pub(crate) fn mac_of(text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(GITHUB_SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The value of GitHub's signature header.
pub(crate) fn sign_github(body: &str) -> String {
    format!("sha256={}", hex::encode(mac_of(body)))
}
