//! The view on a real log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp};
use domain_registry::{Agent, RegistryEvent, Resource, ResourceDefined};
use platform_config::Settings;
use platform_log::{Admin, Encoder, Producer, SchemaRegistry, TopicSpec, subject};
use platform_testkit::{TestBed, eventually};
use projections_registry_view::RegistryView;
use schemas::Registry;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

fn event(id: &str, version: u64, timeout_ms: u64) -> Recorded<RegistryEvent> {
    let event_id = EventId::derive(&[id, &version.to_string(), &timeout_ms.to_string()]);
    Recorded {
        meta: Metadata {
            id: event_id,
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::derive(&[id]),
            causation: None,
            stream: format!("agent/{id}"),
            version,
            at: Timestamp::from_millis(1_700_000_000_000),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
        },
        event: RegistryEvent::Defined(ResourceDefined {
            id: id.to_owned(),
            tenant: TenantId::new("acme"),
            resource: Resource::Agent(Agent {
                name: id.to_owned(),
                endpoint: "http://127.0.0.1/mcp".to_owned(),
                tools: vec!["t".to_owned()],
                timeout_ms,
            }),
        }),
    }
}

async fn create_topic(settings: &Settings) {
    let admin = Admin::new(&settings.kafka).unwrap();
    let topic = TopicSpec::new("mesh.registry", 1);
    admin.ensure_topics(&[topic]).await.unwrap();
}

struct Log {
    encoder: Encoder,
    producer: Producer,
    schemas: SchemaRegistry,
}

impl Log {
    async fn open(settings: &Settings) -> Self {
        let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
        let catalogue: Vec<_> = schemas::catalogue()
            .iter()
            .filter(|entry| entry.topic == "mesh.registry")
            .map(|entry| (entry.topic, entry.name, entry.text))
            .collect();
        for (topic, name, text) in &catalogue {
            registry
                .register(&subject(topic, name), text)
                .await
                .unwrap();
        }
        Self {
            encoder: Encoder::resolve(&registry, catalogue).await.unwrap(),
            producer: Producer::new(&settings.kafka).unwrap(),
            schemas: registry,
        }
    }

    async fn append(&self, event: &Recorded<RegistryEvent>) -> i64 {
        let outgoing = self.encoder.encode::<Registry>(event).unwrap();
        self.producer.append(outgoing).await.unwrap().offset
    }

    fn follow(&self, settings: &Settings) -> (RegistryView, CancellationToken) {
        let stop = CancellationToken::new();
        let (view, _task) = RegistryView::follow(settings, self.schemas.clone(), stop.clone());
        (view, stop)
    }
}

fn timeout_of(view: &RegistryView, id: &str) -> Option<u64> {
    view.snapshot()
        .agent(id)
        .map(|agent| agent.resource.timeout_ms)
}

#[tokio::test]
async fn it_reads_from_the_start_and_follows() {
    let bed = TestBed::new("registry_view").await.unwrap();
    create_topic(&bed.settings).await;
    let log = Log::open(&bed.settings).await;
    log.append(&event("a", 1, 10)).await;
    log.append(&event("b", 1, 10)).await;

    let (view, stop) = log.follow(&bed.settings);
    tokio::time::timeout(PATIENCE, view.caught_up())
        .await
        .unwrap();
    assert_eq!(timeout_of(&view, "a"), Some(10));

    let mine = event("a", 2, 20);
    let zombie = event("a", 2, 99);
    let (won, lost) = (view.expect(mine.meta.id), view.expect(zombie.meta.id));
    log.append(&mine).await;
    let offset = log.append(&zombie).await;
    assert!(
        tokio::time::timeout(PATIENCE, won.won())
            .await
            .unwrap()
            .unwrap()
    );
    assert!(
        !tokio::time::timeout(PATIENCE, lost.won())
            .await
            .unwrap()
            .unwrap()
    );
    tokio::time::timeout(PATIENCE, view.reached(offset + 1))
        .await
        .unwrap();
    assert_eq!(timeout_of(&view, "a"), Some(20));

    // A second view folds the same log to the same state.
    let (other, _stop) = log.follow(&bed.settings);
    tokio::time::timeout(PATIENCE, other.caught_up())
        .await
        .unwrap();
    assert_eq!(timeout_of(&other, "a"), Some(20));
    assert_eq!(timeout_of(&other, "b"), Some(10));
    stop.cancel();
}

#[tokio::test]
async fn it_waits_for_a_topic_that_is_not_there_yet() {
    let bed = TestBed::new("registry_view_early").await.unwrap();
    let log = Log::open(&bed.settings).await;
    let (view, stop) = log.follow(&bed.settings);
    let early = tokio::time::timeout(Duration::from_millis(500), view.caught_up()).await;
    assert!(early.is_err(), "caught up with a topic that does not exist");

    create_topic(&bed.settings).await;
    log.append(&event("a", 1, 10)).await;
    tokio::time::timeout(PATIENCE, view.caught_up())
        .await
        .unwrap();
    eventually(PATIENCE, || async { timeout_of(&view, "a") == Some(10) })
        .await
        .unwrap();
    stop.cancel();
}
