//! The policy service on real servers, spoken to as an OPA client would.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{CorrelationId, EventId, Json, Metadata, Recorded, TenantId, Timestamp};
use domain_policy::PolicyEvent;
use domain_registry::{Policy, RegistryEvent, Resource, ResourceDefined};
use platform_http::reqwest::{Client, Response, StatusCode};
use platform_http::{ClientOptions, Readiness};
use platform_log::{
    Admin, Decoder, Encoder, PartitionReader, Producer, SchemaRegistry, TopicSpec, subject,
};
use platform_rego::Bundle;
use platform_testkit::TestBed;
use schemas::{Decisions, Registry};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const POLICY: &str = include_str!("../../../deploy/samples/policies/ingest.rego");

struct Bench {
    bed: TestBed,
    base: String,
    client: Client,
    schemas: SchemaRegistry,
    encoder: Encoder,
    producer: Producer,
    readiness: Readiness,
    stop: CancellationToken,
    task: JoinHandle<Result<(), services_policy::Error>>,
}

impl Bench {
    async fn new(name: &str, topics: &[&str]) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let settings = bed.settings.clone();
        let admin = Admin::new(&settings.kafka).unwrap();
        let topics: Vec<_> = topics
            .iter()
            .map(|topic| TopicSpec::new(*topic, 1))
            .collect();
        admin.ensure_topics(&topics).await.unwrap();
        let schemas = SchemaRegistry::new(&settings.schema_registry).unwrap();
        let catalogue: Vec<_> = schemas::catalogue()
            .iter()
            .filter(|entry| ["mesh.registry", "mesh.decisions"].contains(&entry.topic))
            .map(|entry| (entry.topic, entry.name, entry.text))
            .collect();
        for (topic, name, text) in &catalogue {
            schemas.register(&subject(topic, name), text).await.unwrap();
        }
        let readiness = Readiness::new();
        let stop = CancellationToken::new();
        let base = format!("http://{}", settings.policy.listen);
        let task = tokio::spawn(services_policy::run(
            Arc::new(settings.clone()),
            readiness.clone(),
            stop.clone(),
        ));
        Self {
            base,
            client: platform_http::client(ClientOptions::default()).unwrap(),
            encoder: Encoder::resolve(&schemas, catalogue).await.unwrap(),
            producer: Producer::new(&settings.kafka).unwrap(),
            schemas,
            bed,
            readiness,
            stop,
            task,
        }
    }

    async fn ready(&self) {
        let ready = self.readiness.wait_ready();
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("ready in time");
    }

    async fn define(&self, tenant: &str, id: &str, text: &str) {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&[tenant, id]),
                tenant: TenantId::new(tenant),
                correlation: CorrelationId::derive(&[tenant, id]),
                causation: None,
                stream: format!("policy/{id}"),
                version: 1,
                at: Timestamp::from_millis(1),
                source: "/agentmesh/test".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: RegistryEvent::Defined(ResourceDefined {
                id: id.to_owned(),
                tenant: TenantId::new(tenant),
                resource: Resource::Policy(Policy {
                    modules: vec![("policy.rego".to_owned(), text.to_owned())],
                    data: Json::from_text("{}"),
                }),
            }),
        };
        let outgoing = self.encoder.encode::<Registry>(&recorded).unwrap();
        self.producer.append(outgoing).await.unwrap();
    }

    async fn ask(&self, tenant: Option<&str>, path: &str, body: &Value) -> Response {
        let mut request = self
            .client
            .post(format!("{}/v1/data/{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_string());
        if let Some(tenant) = tenant {
            request = request.header("mesh-tenant", tenant);
        }
        request.send().await.unwrap()
    }

    /// Everything on `mesh.decisions`.
    async fn decisions(&self) -> Vec<Recorded<PolicyEvent>> {
        let mut reader =
            PartitionReader::open(&self.bed.settings.kafka, "mesh.decisions", [(0, 0)]).unwrap();
        let decoder = Decoder::<Decisions>::new(self.schemas.clone());
        let mut events = Vec::new();
        for record in reader.read_to_end().await.unwrap() {
            events.push(decoder.decode(&record).await.unwrap());
        }
        events
    }

    async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("stops in time").unwrap().unwrap();
    }
}

fn ticket() -> Value {
    json!({
        "tenant": "acme",
        "auth": "hmac-sha256",
        "event_type": "support.ticket.created",
        "body": {},
        "body_bytes": 2,
    })
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn it_answers_as_opa_does_and_records_what_it_said() {
    let bench = Bench::new("policy_opa", &["mesh.registry", "mesh.decisions"]).await;
    bench.define("acme", "ingest", POLICY).await;
    bench.ready().await;
    platform_testkit::eventually(PATIENCE, || async {
        let answer = bench
            .ask(Some("acme"), "mesh/ingest", &json!({"input": ticket()}))
            .await;
        body(answer).await.get("result").is_some()
    })
    .await
    .unwrap();

    // The digest is that of the same modules compiled anywhere else.
    let modules = vec![("ingest/policy.rego".to_owned(), POLICY.to_owned())];
    let bundle = Bundle::new(modules, json!({})).unwrap();
    let response = bench
        .ask(
            Some("acme"),
            "mesh/ingest?provenance=true&metrics",
            &json!({"input": ticket()}),
        )
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["mesh-bundle-digest"], bundle.digest());
    let answer = body(response).await;
    assert_eq!(answer["result"]["allow"], json!(true));
    assert_eq!(
        answer["provenance"]["bundles"]["acme"]["revision"],
        bundle.digest()
    );
    assert!(answer["metrics"]["timer_rego_query_eval_ns"].is_u64());
    let decision_id = answer["decision_id"].as_str().unwrap().to_owned();

    // The only tenant need not be named; a rule is asked like a package.
    let mut bearer = ticket();
    bearer["auth"] = "bearer".into();
    let denied = body(
        bench
            .ask(None, "mesh/ingest/allow", &json!({"input": bearer}))
            .await,
    )
    .await;
    assert_eq!(denied["result"], json!(false));

    // Undefined is an answer without a result.
    let undefined = body(bench.ask(None, "mesh/nothing", &json!({"input": {}})).await).await;
    assert_eq!(undefined.get("result"), None);
    let without = body(bench.ask(None, "mesh/ingest/allow", &json!({})).await).await;
    assert_eq!(without["result"], json!(false));
    assert_eq!(without["warning"]["code"], "api_usage_warning");

    let recorded = bench.decisions().await;
    let PolicyEvent::Decided(decided) = &recorded
        .iter()
        .find(|recorded| {
            let PolicyEvent::Decided(decided) = &recorded.event;
            decided.decision_id.to_string() == decision_id
        })
        .expect("the decision is on the log")
        .event;
    assert!(decided.allow);
    assert_eq!(decided.bundle_digest, bundle.digest());
    assert_eq!(decided.path, "mesh/ingest");
    assert_eq!(
        serde_json::from_str::<Value>(decided.input.as_str()).unwrap(),
        ticket()
    );
    let ids: std::collections::BTreeSet<_> = recorded.iter().map(|r| r.meta.id).collect();
    assert_eq!(
        ids.len(),
        recorded.len(),
        "every decision has an id of its own"
    );

    for bad in ["not json", "[]"] {
        let response = bench
            .client
            .post(format!("{}/v1/data/mesh/ingest", bench.base))
            .body(bad)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(body(response).await["code"], "invalid_parameter");
    }
    let health = bench
        .client
        .get(format!("{}/health", bench.base))
        .send()
        .await
        .unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    bench.stop().await;
}

#[tokio::test]
async fn tenants_have_their_own_policies() {
    let bench = Bench::new("policy_tenants", &["mesh.registry", "mesh.decisions"]).await;
    bench
        .define("acme", "a", "package mesh.ingest\nallow := true")
        .await;
    bench
        .define("globex", "b", "package mesh.ingest\nallow := false")
        .await;
    bench.ready().await;
    let allow = async |tenant| {
        let response = bench
            .ask(Some(tenant), "mesh/ingest/allow", &json!({"input": {}}))
            .await;
        body(response).await.get("result").cloned()
    };
    platform_testkit::eventually(PATIENCE, || async {
        allow("globex").await == Some(json!(false))
    })
    .await
    .unwrap();
    assert_eq!(allow("acme").await, Some(json!(true)));
    assert_eq!(allow("nobody").await, None);
    let unnamed = bench
        .ask(None, "mesh/ingest/allow", &json!({"input": {}}))
        .await;
    assert_eq!(unnamed.status(), StatusCode::BAD_REQUEST);
    bench.stop().await;
}

#[tokio::test]
async fn what_fails_is_never_an_answer() {
    // There is no topic to record decisions on.
    let bench = Bench::new("policy_fails", &["mesh.registry"]).await;
    bench
        .define(
            "acme",
            "a",
            "package mesh.ingest\nallow := to_number(input.n) > 1",
        )
        .await;
    bench.ready().await;
    platform_testkit::eventually(PATIENCE, || async {
        let failing = json!({"input": {"n": "many"}});
        let response = bench.ask(Some("acme"), "mesh/ingest/allow", &failing).await;
        response.status() == StatusCode::INTERNAL_SERVER_ERROR
    })
    .await
    .unwrap();
    let response = bench
        .ask(
            Some("acme"),
            "mesh/ingest/allow",
            &json!({"input": {"n": "2"}}),
        )
        .await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(body(response).await.get("result"), None);
    bench.stop().await;
}
