use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_delivery::DeliveryEvent;
use domain_kernel::{Codec, Recorded};
use hmac::{Hmac, KeyInit, Mac};
use platform_config::Settings;
use platform_http::reqwest::{Client, StatusCode};
use platform_http::{ClientOptions, client};
use platform_log::{Decoder, PartitionReader, SchemaRegistry};
use platform_testkit::{Proc, TestBed, eventually};
use schemas::Deliveries;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{Memory, Request, exchange};

pub const SECRET: &str = "whsec_YmFkIGlucHV0IHRlc3RzIHNpZ24gd2l0aCB0aGlz";
/// Of another tenant's source.
pub const OTHER_SECRET: &str = "whsec_YSBzZWNyZXQgb2Ygc29tZWJvZHkgZWxzZSBoZXJl";
/// Of the source itself, but its time is over.
pub const GRACE_OVER: &str = "whsec_dGhpcyBzZWNyZXQgd2FzIHJvdGF0ZWQgb3V0IGFnZXMgYWdv";
/// A bearer token.
pub const TOKEN: &str = "bad-input-bearer-token-0001";

const POLICY: &str = include_str!("../../../deploy/samples/policies/ingest.rego");
/// Milliseconds. Short, so that what drips is cut soon.
const REQUEST_TIMEOUT: u64 = 5_000;

/// A gateway with its registry and read models, each a process of its own.
#[derive(Debug)]
pub struct Ground {
    pub settings: Settings,
    gateway: Proc,
    registry: Proc,
    _projections: Proc,
    _bed: TestBed,
}

impl Ground {
    /// # Errors
    /// When a role does not come up, or the registry refuses a resource.
    pub async fn new(name: &str) -> anyhow::Result<Self> {
        Self::with(name, |_| ()).await
    }

    /// The same, with other settings.
    ///
    /// # Errors
    /// The same.
    pub async fn with(name: &str, adjust: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let mut bed = TestBed::new(name).await?;
        bed.settings.gateway.request_timeout_ms = REQUEST_TIMEOUT;
        adjust(&mut bed.settings);
        let settings = bed.settings.clone();
        for arguments in [
            &["topics", "apply"][..],
            &["schemas", "register"],
            &["migrate"],
        ] {
            let mut command = Proc::command(&settings)?;
            command.args(arguments);
            let output = tokio::task::spawn_blocking(move || command.output()).await??;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let mut registry = Proc::spawn("registry", &settings)?;
        let mut projections = Proc::spawn("projections", &settings)?;
        let mut gateway = Proc::spawn("gateway", &settings)?;
        for process in [&mut registry, &mut projections, &mut gateway] {
            process.ready().await?;
        }
        let ground = Self {
            settings,
            gateway,
            registry,
            _projections: projections,
            _bed: bed,
        };
        ground.register().await?;
        Ok(ground)
    }

    async fn register(&self) -> anyhow::Result<()> {
        let source = json!({
            "space": "support",
            "scheme": "standard-webhooks",
            "secrets": [
                {"id": "current", "secret": SECRET},
                {"id": "former", "secret": GRACE_OVER, "valid_until": "2026-01-01T00:00:00Z"},
            ],
            "event_type_pointer": "/event_type",
            "event_types": ["support.ticket.created", "support.ticket.closed"],
            "subject_pointer": "/subject",
            "content_pointer": "/payload",
        });
        let mut others_s = source.clone();
        others_s["secrets"] = json!([{"id": "current", "secret": OTHER_SECRET}]);
        let bearer = json!({
            "space": "support",
            "scheme": "bearer",
            "secret": TOKEN,
            "event_type": "support.ticket.created",
        });
        // A token vouches for no body; this tenant takes it all the same.
        let policy = POLICY.replace(
            r#"signed if input.auth in {"#,
            r#"signed if input.auth in {"bearer", "#,
        );
        ensure!(policy != POLICY, "the sample policy has changed");
        for (tenant, kind, id, resource) in [
            ("acme", "sources", "strict", &source),
            ("globex", "sources", "theirs", &others_s),
            ("acme", "sources", "token", &bearer),
            (
                "acme",
                "policies",
                "ingest",
                &json!({"modules": {"ingest.rego": policy}}),
            ),
            (
                "globex",
                "policies",
                "theirs",
                &json!({"modules": {"ingest.rego": policy}}),
            ),
        ] {
            let (status, answer) = self.put(tenant, kind, id, resource).await?;
            ensure!(status.is_success(), "{status} to {kind}/{id}: {answer}");
        }
        // The gateway follows the registry: it is done when it knows the last source.
        let probe = self.delivery("probe", &body("probe"));
        eventually(Duration::from_secs(60), || async {
            let answer = exchange(self.address(), &probe.bytes()).await.ok()??;
            (answer.status == 202).then_some(())
        })
        .await
        .context("the gateway does not take deliveries in")
    }

    /// Registers something; answers with what the registry said.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn put(
        &self,
        tenant: &str,
        kind: &str,
        id: &str,
        resource: &Value,
    ) -> anyhow::Result<(StatusCode, String)> {
        let url = format!("http://{}/v1/{kind}/{id}", self.settings.registry.listen);
        let request = http()?
            .put(url)
            .header("mesh-tenant", tenant)
            .json(resource);
        let response = request.send().await?;
        Ok((response.status(), response.text().await?))
    }

    pub fn address(&self) -> SocketAddr {
        self.settings.gateway.listen
    }

    pub fn memory(&self) -> Memory {
        Memory::of(self.gateway.pid())
    }

    /// Of the process that resources are put to.
    pub fn memory_of_registry(&self) -> Memory {
        Memory::of(self.registry.pid())
    }

    pub fn is_alive(&self) -> bool {
        self.gateway.is_alive()
    }

    /// A delivery to source `strict`, properly signed now.
    pub fn delivery(&self, id: &str, body: &[u8]) -> Request {
        self.signed(SECRET, id, &now().to_string(), body)
    }

    pub fn signed(&self, secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Request {
        Request {
            method: "POST",
            target: "/hooks/strict".to_owned(),
            headers: Vec::new(),
            body: body.to_vec(),
            with_length: true,
        }
        .add("content-type", "application/json")
        .add("webhook-id", id)
        .add("webhook-timestamp", timestamp)
        .add("webhook-signature", sign(secret, id, timestamp, body))
    }

    /// All deliveries on the log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn deliveries(&self) -> anyhow::Result<Vec<Recorded<DeliveryEvent>>> {
        let partitions = i32::try_from(self.settings.kafka.partitions)?;
        let from = (0..partitions).map(|partition| (partition, 0));
        let mut reader = PartitionReader::open(&self.settings.kafka, Deliveries::TOPIC, from)?;
        let schemas = SchemaRegistry::new(&self.settings.schema_registry)?;
        let decoder = Decoder::<Deliveries>::new(schemas);
        let mut events = Vec::new();
        for record in reader.read_to_end().await? {
            events.push(decoder.decode(&record).await?);
        }
        Ok(events)
    }
}

/// A body that says which case it belongs to.
pub fn body(case: &str) -> Vec<u8> {
    let body = json!({
        "event_type": "support.ticket.created",
        "subject": format!("{case}@example.com"),
        "payload": {"case": case, "text": format!("This is about {case}.")},
    });
    body.to_string().into_bytes()
}

fn http() -> anyhow::Result<Client> {
    Ok(client(ClientOptions::with_timeout(Duration::from_secs(
        60,
    )))?)
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}

/// The value of the signature header.
pub fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD
        .decode(&secret["whsec_".len()..])
        .unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
