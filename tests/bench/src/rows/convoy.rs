//! Convoy, another webhook gateway, with the same bodies, connections and servers.
//!
//! Its promise is the smaller one, which the table says: it answers when a job is
//! in Redis. It asks no policy and knows no repeats.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use platform_http::{ClientOptions, client, reqwest};
use platform_localstack::{answers_http, execute_sql, free_port};
use platform_postgres::Pool;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::process::{Child, Command};

use super::ground::{CONNECTIONS, Ground};
use crate::Bench;
use crate::bed::{Bed, with_database, workspace};
use crate::child::log_of;
use crate::fixtures;
use crate::harness::{Goal, Row, in_turns, median, readable};
use crate::load::{closed, post};

const DATABASE: &str = "bench_convoy_peer";
const SIGNATURE: &str = "X-Signature";
const SECRET: &str = "bench-secret-0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(60);
/// What was answered is stored behind the answer, and that is slower.
const STORING: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(50);

/// G1-convoy, where Convoy was built.
pub(crate) async fn convoy(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    if !binary().is_file() {
        eprintln!("G1-convoy: left out, deploy/local/install-convoy.sh builds Convoy");
        return Ok(Vec::new());
    }
    let ground = Ground::new(bench, "convoy").await?;
    let convoy = Convoy::start(&ground.bed).await?;
    let count = bench.size.pick(200, 2_000, 10_000);
    // Storing takes it many times as long as accepting.
    let rounds = bench.rounds.min(3);
    let stored = std::cell::RefCell::new(Vec::new());
    let theirs = async || {
        let begun = Instant::now();
        let answers = closed(convoy.address, convoy.fresh(count)?, CONNECTIONS).await?;
        ensure!(
            answers.accepted == count,
            "Convoy accepted {} of {count}",
            answers.accepted
        );
        // Before our turn, in which it is to rest.
        convoy.has_stored_all().await?;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        stored.borrow_mut().push(rate);
        anyhow::Ok(answers.rate())
    };
    // So many more that a turn takes about as long.
    let ours = async || anyhow::Ok(ground.deliver(ground.gateway.address).await?.rate());
    let pairs = in_turns("deliveries/s", rounds, theirs, ours).await?;
    let twin = format!(
        "{}; {} answered with 200 by Convoy, each of them once in its table, stored at {}/s",
        ground.twin().await?,
        convoy.twin().await?,
        readable(median(stored.into_inner())),
    );
    let row = Row::new(
        "G1-convoy",
        "durable ingest, one delivery a request: the gateway (policy, idempotency, two records acknowledged) ÷ Convoy 0.9.2 (a job in Redis)",
        Goal::Shown,
        &pairs,
        twin,
    )?;
    Ok(vec![row])
}

/// Where `deploy/local/install-convoy.sh` puts it.
fn binary() -> PathBuf {
    workspace().join("target/bench/convoy-v0.9.2")
}

/// Its server and its worker over a database of their own, with one source.
struct Convoy {
    address: std::net::SocketAddr,
    path: String,
    pool: Pool,
    sent: Cell<usize>,
    _server: Child,
    _worker: Child,
}

impl Convoy {
    async fn start(bed: &Bed) -> anyhow::Result<Self> {
        let url = bed.settings.postgres.url.clone();
        let create = move || execute_sql(&url, &format!("CREATE DATABASE \"{DATABASE}\""));
        tokio::task::spawn_blocking(create).await??;
        let mut postgres = bed.settings.postgres.clone();
        postgres.url = with_database(&postgres.url, DATABASE);
        let port = free_port()?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let config = bed.settings.data_dir.join("convoy.json");
        let settings = settings(port, &postgres.url, &bed.settings.redis.url);
        std::fs::write(&config, serde_json::to_vec(&settings)?)?;
        let config = config.to_str().context("a path that is not text")?;

        let migrated = command(&["migrate", "up", "--config", config])?
            .status()
            .await?;
        ensure!(
            migrated.success(),
            "Convoy's migrations ended with {migrated}"
        );
        let server = command(&["server", "--with-workers=false", "--config", config])?.spawn()?;
        // The first of them makes the user that we log in as.
        ready(port).await?;
        let worker_port = free_port()?;
        let port = worker_port.to_string();
        let worker = command(&["worker", "--worker-port", &port, "--config", config])?.spawn()?;
        ready(worker_port).await?;
        Ok(Self {
            address,
            path: register(&format!("http://{address}")).await?,
            pool: Pool::connect(&postgres)?,
            sent: 0.into(),
            _server: server,
            _worker: worker,
        })
    }

    /// As many signed tickets as are asked for, none of which was sent before.
    fn fresh(&self, count: usize) -> anyhow::Result<Arc<Vec<Bytes>>> {
        let from = self.sent.get();
        self.sent.set(from + count);
        let requests: Vec<Bytes> = (from..from + count)
            .map(|n| {
                let body = fixtures::ticket(n);
                let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
                mac.update(body.as_bytes());
                let signature = hex::encode(mac.finalize().into_bytes());
                let headers = [
                    ("content-type", "application/json"),
                    (SIGNATURE, signature.as_str()),
                ];
                anyhow::Ok(post(&self.path, &headers, body.as_bytes()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(requests))
    }

    async fn has_stored_all(&self) -> anyhow::Result<()> {
        let expected = i64::try_from(self.sent.get())?;
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

    /// Every accepted body stands in its table once, and nothing else does.
    async fn twin(&self) -> anyhow::Result<usize> {
        let expected = i64::try_from(self.sent.get())?;
        let rows = self.count("count(*)").await?;
        let different = self.count("count(DISTINCT raw)").await?;
        ensure!(
            rows == expected && different == expected,
            "Convoy accepted {expected} and has {rows} rows, {different} different ones"
        );
        Ok(self.sent.get())
    }

    async fn count(&self, what: &str) -> anyhow::Result<i64> {
        let client = self.pool.get().await?;
        let query = format!("SELECT {what} FROM convoy.events");
        Ok(client.query_one(&query, &[]).await?.try_get(0)?)
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

/// Without our environment, of which it would read `PORT` and `HTTP_PROXY`.
fn command(arguments: &[&str]) -> anyhow::Result<Command> {
    let name = format!("convoy-{}", arguments.first().unwrap_or(&"none"));
    let log = log_of(&name)?;
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

async fn ready(port: u16) -> anyhow::Result<()> {
    let address = format!("127.0.0.1:{port}");
    let begun = Instant::now();
    while !answers_http(&address, "/health").await {
        ensure!(
            begun.elapsed() < PATIENCE,
            "Convoy does not answer; it says why under target/bench/logs"
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Makes a source that verifies signatures; answers where it takes deliveries.
async fn register(base: &str) -> anyhow::Result<String> {
    let http = client(ClientOptions::with_timeout(PATIENCE))?;
    let call = async |path: String, token: Option<&str>, body: Value| {
        let mut request = http.post(format!("{base}{path}")).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer: reqwest::Response = request.send().await?.error_for_status()?;
        anyhow::Ok(answer.json::<Value>().await?)
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

fn text<'a>(answer: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("Convoy answered without {pointer}"))
}
