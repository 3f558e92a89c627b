//! Hookdeck Outpost, another webhook gateway: its API service over RabbitMQ, with
//! one tenant and one destination, without which it keeps no event at all.
//!
//! Its delivery and log services do not run, as our workflows do not: what it
//! answered stays in its queue, where it is counted.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use platform_http::reqwest;
use platform_localstack::free_port;
use serde_json::json;
use tokio::process::Child;

use super::ground::Ground;
use super::peer::{self, Peer, call, text};
use super::rabbit::Rabbit;
use crate::Bench;
use crate::bed::Bed;
use crate::fixtures;
use crate::harness::Row;
use crate::sender::delivery_id;

const KEY: &str = "bench-key-0123456789abcdef";
const TENANT: &str = "acme";
const TOPIC: &str = "support.ticket.created";
/// Its name where none is given.
const QUEUE: &str = "outpost-delivery";

/// G1-outpost, where Outpost was built.
pub(crate) async fn outpost(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let built = |path| peer::built("G1-outpost", "outpost", path);
    let (Some(programs), Some(rabbit)) = (built("outpost-v1.2.0"), built("rabbitmq")) else {
        return Ok(Vec::new());
    };
    let ground = Ground::new(bench, "outpost").await?;
    let outpost = Outpost::start(&ground.bed, &programs, &rabbit).await?;
    let row = (
        "G1-outpost",
        "Outpost 1.2.0 (idempotency, a message confirmed by RabbitMQ)",
    );
    let turns = (bench.size.pick(500, 10_000, 30_000), bench.rounds);
    peer::compare(&ground, &outpost, row, turns).await
}

struct Outpost {
    address: SocketAddr,
    rabbit: Rabbit,
    _api: Child,
}

impl Outpost {
    async fn start(bed: &Bed, programs: &Path, rabbit: &Path) -> anyhow::Result<Self> {
        let postgres = peer::database(bed, "bench_outpost_peer").await?;
        let rabbit = Rabbit::start(bed, rabbit).await?;
        let redis = reqwest::Url::parse(&bed.settings.redis.url)?;
        let port = free_port()?;
        let environment = [
            ("SERVICE", "api".to_owned()),
            ("API_PORT", port.to_string()),
            ("API_KEY", KEY.to_owned()),
            ("API_JWT_SECRET", KEY.to_owned()),
            ("AES_ENCRYPTION_SECRET", "0123456789abcdef".repeat(2)),
            ("POSTGRES_URL", format!("{}?sslmode=disable", postgres.url)),
            (
                "REDIS_HOST",
                redis.host_str().context("no host")?.to_owned(),
            ),
            ("REDIS_PORT", redis.port().context("no port")?.to_string()),
            ("RABBITMQ_SERVER_URL", rabbit.url.clone()),
            ("DISABLE_TELEMETRY", "true".to_owned()),
            ("LOG_LEVEL", "error".to_owned()),
        ];
        let command = |program: &str, arguments: &[&str]| {
            peer::command(bed, &programs.join(program), arguments, &environment)
        };
        peer::run(command("outpost", &["migrate", "apply", "--yes"])).await?;
        let api = command("outpost-server", &[])?.spawn()?;
        let base = format!("http://127.0.0.1:{port}");
        peer::ready(&format!("{base}/healthz")).await?;
        register(&base).await?;
        Ok(Self {
            address: ([127, 0, 0, 1], port).into(),
            rabbit,
            _api: api,
        })
    }
}

impl Peer for Outpost {
    const NAME: &'static str = "Outpost";

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self, number: usize) -> anyhow::Result<Bytes> {
        let body = format!(
            r#"{{"id":"{}","tenant_id":"{TENANT}","topic":"{TOPIC}","data":{}}}"#,
            delivery_id(number),
            fixtures::ticket(number)
        );
        Ok(peer::bearing("/api/v1/publish", KEY, &body))
    }

    async fn twin(&self, sent: usize, _stored: f64) -> anyhow::Result<String> {
        let messages = self.rabbit.take(QUEUE).await?;
        let mut ids = HashSet::new();
        let mut tickets = HashSet::new();
        for message in &messages {
            ids.insert(text(message, "/event/id")?);
            tickets.insert(text(message, "/event/data/ticket/id")?);
        }
        ensure!(
            messages.len() == sent && ids.len() == sent && tickets.len() == sent,
            "Outpost accepted {sent} and has {} messages of {} events with {} tickets",
            messages.len(),
            ids.len(),
            tickets.len()
        );
        Ok(format!(
            "{sent} answered with 202 by Outpost, each of them once in its queue, nothing else there"
        ))
    }
}

/// A tenant with a destination, of which nothing is ever asked.
async fn register(base: &str) -> anyhow::Result<()> {
    let http = peer::http()?;
    let tenant = format!("{base}/api/v1/tenants/{TENANT}");
    call(http.put(&tenant).bearer_auth(KEY).json(&json!({}))).await?;
    let destination = json!({
        "type": "webhook", "topics": ["*"], "config": {"url": "https://nowhere.invalid/"},
    });
    let destinations = http.post(format!("{tenant}/destinations"));
    call(destinations.bearer_auth(KEY).json(&destination)).await?;
    Ok(())
}
