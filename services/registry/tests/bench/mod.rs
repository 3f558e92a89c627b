//! A registry under test: its servers, its process, and a look at its topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp};
use domain_registry::{Agent, RegistryEvent, Resource, ResourceDefined, ResourceKind};
use platform_config::Settings;
use platform_http::Readiness;
use platform_http::reqwest::{Client, Method, StatusCode, header::HeaderMap};
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, Record, SchemaRegistry, TopicSpec, subject,
};
use platform_testkit::{TestBed, free_port};
use platform_vault::Vault;
use projections_registry_view::secret_context;
use schemas::Registry;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    _bed: TestBed,
    pub(crate) settings: Settings,
    encoder: Encoder,
    producer: Producer,
    schemas: SchemaRegistry,
}

pub(crate) struct Running {
    base: String,
    tenant: &'static str,
    client: Client,
    pub(crate) readiness: Readiness,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), services_registry::Error>>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn etag(&self) -> &str {
        self.header("etag").unwrap_or_default()
    }
}

impl Bench {
    pub(crate) async fn new(name: &str) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let settings = bed.settings.clone();
        let admin = Admin::new(&settings.kafka).unwrap();
        let topic = TopicSpec::new("mesh.registry", 1);
        admin.ensure_topics(&[topic]).await.unwrap();
        let schemas = SchemaRegistry::new(&settings.schema_registry).unwrap();
        let catalogue: Vec<_> = schemas::catalogue()
            .iter()
            .filter(|entry| entry.topic == "mesh.registry")
            .map(|entry| (entry.topic, entry.name, entry.text))
            .collect();
        for (topic, name, text) in &catalogue {
            schemas.register(&subject(topic, name), text).await.unwrap();
        }
        Self {
            encoder: Encoder::resolve(&schemas, catalogue).await.unwrap(),
            producer: Producer::new(&settings.kafka).unwrap(),
            schemas,
            settings,
            _bed: bed,
        }
    }

    pub(crate) async fn start(&self) -> Running {
        let running = self.start_unready().await;
        let ready = running.readiness.wait_ready();
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("ready in time");
        running
    }

    /// On a port of its own, so that two can run side by side.
    pub(crate) async fn start_unready(&self) -> Running {
        let mut settings = self.settings.clone();
        settings.registry.listen.set_port(free_port().unwrap());
        let base = format!("http://{}", settings.registry.listen);
        let readiness = Readiness::new();
        let stop = CancellationToken::new();
        let task = tokio::spawn(services_registry::run(
            Arc::new(settings),
            readiness.clone(),
            stop.clone(),
        ));
        let client = platform_http::client(platform_http::ClientOptions::default()).unwrap();
        let health = format!("{base}/healthz");
        platform_testkit::eventually(PATIENCE, || async {
            client.get(&health).send().await.is_ok()
        })
        .await
        .unwrap();
        Running {
            base,
            tenant: "acme",
            client,
            readiness,
            stop,
            task: Some(task),
        }
    }

    pub(crate) async fn records(&self) -> Vec<Record> {
        let mut reader =
            PartitionReader::open(&self.settings.kafka, "mesh.registry", [(0, 0)]).unwrap();
        reader.read_to_end().await.unwrap()
    }

    pub(crate) async fn events(&self) -> Vec<Recorded<RegistryEvent>> {
        let decoder = Decoder::<Registry>::new(self.schemas.clone());
        let mut events = Vec::new();
        for record in self.records().await {
            events.push(decoder.decode(&record).await.unwrap());
        }
        events
    }

    /// The secret as the gateway would open it.
    pub(crate) async fn open_secret(&self, source: &str, secret: &str) -> String {
        let vault = Vault::from_settings(&self.settings.secrets, &self.settings.data_dir).unwrap();
        let context = secret_context(ResourceKind::Source, source, secret);
        let sealed = self
            .events()
            .await
            .into_iter()
            .find_map(|recorded| match recorded.event {
                RegistryEvent::Defined(ResourceDefined {
                    resource: Resource::Source(found),
                    ..
                }) => found.secrets.into_iter().find(|known| known.id == secret),
                _ => None,
            })
            .unwrap()
            .sealed;
        vault.open(&sealed, &context).unwrap().to_string()
    }

    pub(crate) async fn next_version(&self, agent: &str) -> u64 {
        let stream = format!("agent/{agent}");
        let events = self.events().await;
        let versions = events.iter().filter(|event| event.meta.stream == stream);
        versions.map(|event| event.meta.version).max().unwrap_or(0) + 1
    }

    /// Appends an event past the registry.
    pub(crate) async fn append_as_zombie(&self, agent: &str, version: u64, timeout_ms: u64) {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["zombie", agent, &timeout_ms.to_string()]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::derive(&["zombie"]),
                causation: None,
                stream: format!("agent/{agent}"),
                version,
                at: Timestamp::from_millis(1),
                source: "/agentmesh/zombie".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: RegistryEvent::Defined(ResourceDefined {
                id: agent.to_owned(),
                tenant: TenantId::new("acme"),
                resource: Resource::Agent(Agent {
                    name: "Zombie".to_owned(),
                    endpoint: "http://127.0.0.1/mcp".to_owned(),
                    tools: vec!["t".to_owned()],
                    timeout_ms,
                }),
            }),
        };
        let outgoing = self.encoder.encode::<Registry>(&recorded).unwrap();
        self.producer.append(outgoing).await.unwrap();
    }

    /// What any reader folds: the first event at each version, by its timeout.
    pub(crate) async fn first_at_each_version(&self, agent: &str) -> BTreeMap<u64, u64> {
        let stream = format!("agent/{agent}");
        let mut first = BTreeMap::new();
        for recorded in self.events().await {
            if recorded.meta.stream != stream {
                continue;
            }
            if let RegistryEvent::Defined(ResourceDefined {
                resource: Resource::Agent(agent),
                ..
            }) = recorded.event
            {
                first
                    .entry(recorded.meta.version)
                    .or_insert(agent.timeout_ms);
            }
        }
        first
    }
}

impl Running {
    /// The same registry, spoken to for another tenant.
    pub(crate) fn of_tenant(&self, tenant: &'static str) -> Self {
        Self {
            base: self.base.clone(),
            tenant,
            client: self.client.clone(),
            readiness: self.readiness.clone(),
            stop: self.stop.clone(),
            task: None,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[], Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("mesh-tenant", self.tenant);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        answer(request).await
    }

    pub(crate) async fn text(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Answer {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("mesh-tenant", self.tenant)
            .header("content-type", content_type)
            .body(body.to_owned());
        answer(request).await
    }

    pub(crate) async fn without_tenant(&self, method: Method, path: &str) -> StatusCode {
        let request = self.client.request(method, format!("{}{path}", self.base));
        answer(request).await.status
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Some(task) = self.task {
            tokio::time::timeout(PATIENCE, task)
                .await
                .expect("stops in time")
                .unwrap()
                .unwrap();
        }
    }
}

async fn answer(request: platform_http::reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}
