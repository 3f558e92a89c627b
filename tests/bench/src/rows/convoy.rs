//! Convoy, another webhook gateway, with the same bodies, connections and servers.
//!
//! Its promise is the smaller one, which the table says: it answers when a job is
//! in Redis. It asks no policy and knows no repeats.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use platform_http::reqwest;
use platform_localstack::free_port;
use platform_postgres::Pool;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::process::Child;

use super::ground::Ground;
use super::peer::{self, LOOK, Peer, text};
use crate::Bench;
use crate::bed::Bed;
use crate::fixtures;
use crate::harness::{Row, readable};
use crate::load::post;

const SIGNATURE: &str = "X-Signature";
const SECRET: &str = "bench-secret-0123456789abcdef";
/// What was answered is stored behind the answer, and that is slower.
const STORING: Duration = Duration::from_secs(600);

/// G1-convoy, where Convoy was built.
pub(crate) async fn convoy(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let Some(binary) = peer::built("G1-convoy", "convoy", "convoy-v0.9.2") else {
        return Ok(Vec::new());
    };
    let ground = Ground::new(bench, "convoy").await?;
    let convoy = Convoy::start(&ground.bed, &binary).await?;
    let row = ("G1-convoy", "Convoy 0.9.2 (a job in Redis)");
    // Storing takes it many times as long as accepting.
    let turns = (bench.size.pick(200, 2_000, 10_000), bench.rounds.min(3));
    peer::compare(&ground, &convoy, row, turns).await
}

/// Its server and its worker over a database of their own, with one source.
struct Convoy {
    address: std::net::SocketAddr,
    path: String,
    pool: Pool,
    _server: Child,
    _worker: Child,
}

impl Convoy {
    async fn start(bed: &Bed, binary: &Path) -> anyhow::Result<Self> {
        let postgres = peer::database(bed, "bench_convoy_peer").await?;
        let (port, worker_port) = (free_port()?, free_port()?);
        let config = bed.settings.data_dir.join("convoy.json");
        let settings = settings(port, &postgres.url, &bed.settings.redis.url);
        std::fs::write(&config, serde_json::to_vec(&settings)?)?;
        let config = config.to_str().context("a path that is not text")?;
        let command = |arguments: &[&str]| {
            let arguments = [arguments, &["--config", config]].concat();
            peer::command(bed, binary, &arguments, &[])
        };

        peer::run(command(&["migrate", "up"])).await?;
        let server = command(&["server", "--with-workers=false"])?.spawn()?;
        let base = format!("http://127.0.0.1:{port}");
        // The first of them makes the user that we log in as.
        peer::ready(&format!("{base}/health")).await?;
        let worker = command(&["worker", "--worker-port", &worker_port.to_string()])?.spawn()?;
        peer::ready(&format!("http://127.0.0.1:{worker_port}/health")).await?;
        Ok(Self {
            address: ([127, 0, 0, 1], port).into(),
            path: register(&base).await?,
            pool: Pool::connect(&postgres)?,
            _server: server,
            _worker: worker,
        })
    }

    async fn count(&self, what: &str) -> anyhow::Result<i64> {
        let client = self.pool.get().await?;
        let query = format!("SELECT {what} FROM convoy.events");
        Ok(client.query_one(&query, &[]).await?.try_get(0)?)
    }
}

impl Peer for Convoy {
    const NAME: &'static str = "Convoy";

    fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    fn request(&self, number: usize) -> anyhow::Result<Bytes> {
        let body = fixtures::ticket(number);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = [
            ("content-type", "application/json"),
            (SIGNATURE, signature.as_str()),
        ];
        Ok(post(&self.path, &headers, body.as_bytes()))
    }

    async fn rest(&self, sent: usize) -> anyhow::Result<()> {
        let expected = i64::try_from(sent)?;
        let begun = Instant::now();
        loop {
            let stored = self.count("count(*)").await?;
            if stored >= expected {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < STORING,
                "Convoy stored {stored} of {expected}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn twin(&self, sent: usize, stored: f64) -> anyhow::Result<String> {
        let expected = i64::try_from(sent)?;
        let rows = self.count("count(*)").await?;
        let different = self.count("count(DISTINCT raw)").await?;
        ensure!(
            rows == expected && different == expected,
            "Convoy accepted {expected} and has {rows} rows, {different} different ones"
        );
        Ok(format!(
            "{sent} answered with 200 by Convoy, each of them once in its table, stored at {}/s",
            readable(stored)
        ))
    }
}

/// As its own configuration has it, but for the search index and telemetry, which
/// are off. Postgres waits for the disk; Redis appends to its file, which it syncs
/// every second, so that an answer outlives a killed process, as ours does.
fn settings(port: u16, postgres: &str, redis: &str) -> Value {
    json!({
        "host": format!("http://127.0.0.1:{port}"),
        "env": "oss",
        "database": {
            "type": "postgres", "dsn": format!("{postgres}?sslmode=disable"),
            "max_open_conn": 10, "max_idle_conn": 10, "conn_max_lifetime": 3_600,
        },
        "queue": {"type": "redis", "redis": {"dsn": redis}},
        "cache": {"type": "redis", "redis": {"dsn": redis}},
        "logger": {"level": "error"},
        "analytics": {"enabled": false},
        "server": {"http": {"ssl": false, "port": port}},
        "auth": {"jwt": {"enabled": true}, "native": {"enabled": true}, "is_signup_enabled": true},
    })
}

/// Makes a source that verifies signatures; answers where it takes deliveries.
async fn register(base: &str) -> anyhow::Result<String> {
    let http = peer::http()?;
    let call = async |path: String, token: Option<&str>, body: Value| {
        let request: reqwest::RequestBuilder = http.post(format!("{base}{path}")).json(&body);
        peer::call(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await
    };
    let login = json!({"username": "superuser@default.com", "password": "default"});
    let login = call("/ui/auth/login".to_owned(), None, login).await?;
    let token = text(&login, "/data/token/access_token")?;
    let organisations = "/ui/organisations".to_owned();
    let organisation = call(organisations, Some(token), json!({"name": "bench"})).await?;
    let projects = format!(
        "/ui/organisations/{}/projects",
        text(&organisation, "/data/uid")?
    );
    let project = json!({"name": "bench", "type": "incoming"});
    let project = call(projects, Some(token), project).await?;
    let sources = format!(
        "/api/v1/projects/{}/sources",
        text(&project, "/data/project/uid")?
    );
    let hmac = json!({"header": SIGNATURE, "hash": "SHA256", "secret": SECRET, "encoding": "hex"});
    let verifier = json!({"type": "hmac", "hmac": hmac});
    let source = json!({"name": "bench", "type": "http", "verifier": verifier});
    let key = text(&project, "/data/api_key/key")?;
    let source = call(sources, Some(key), source).await?;
    Ok(format!("/ingest/{}", text(&source, "/data/mask_id")?))
}
