//! Parts of the mesh in a process of their own, to see what such a process takes.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use platform_config::Settings;
use platform_http::axum::Router;
use platform_http::axum::http::{StatusCode, header};
use platform_http::axum::response::IntoResponse;
use platform_http::axum::routing::post;
use platform_http::{Limits, Readiness};
use platform_localstack::free_port;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::{Checkpoints, Pool, schema_name};
use platform_projector::{Deps, PgProjection as _, ReadinessSink, run_projection};
use projections_decisions::DecisionsProjection;
use schemas::catalogue;
use serde::{Deserialize, Serialize};
use services_gateway::Shortcuts;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::bed::Bed;
use crate::pipeline::{Part, Pipeline, on_threads};

const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(1_800);

/// What a child is started for.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Projector {
        records: i64,
    },
    Gateway {
        #[arg(long)]
        forgets: bool,
        #[arg(long)]
        does_not_wait: bool,
    },
    Echo,
    Pipeline {
        part: Part,
        threads: usize,
        count: usize,
    },
}

/// Does it, with logs, spans and metrics as a role has them.
pub(crate) async fn run(task: Task) -> anyhow::Result<()> {
    let _guard = platform_telemetry::init(&Settings::load(None)?.telemetry, "bench")?;
    match task {
        Task::Projector { records } => {
            let told = run_projector(records).await?;
            println!("{}", serde_json::to_string(&told)?);
            Ok(())
        }
        Task::Gateway {
            forgets,
            does_not_wait,
        } => {
            run_gateway(Shortcuts {
                forgets,
                does_not_wait,
            })
            .await
        }
        Task::Echo => run_echo().await,
        Task::Pipeline {
            part,
            threads,
            count,
        } => {
            println!("{}", run_pipeline(part, threads, count).await?);
            Ok(())
        }
    }
}

/// What a projector process told of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) peak_kib: u64,
    pub(crate) rows: i64,
    /// Records a second, from the first commit to the last.
    pub(crate) rate: f64,
}

/// Starts a projector over `records` that wait for it, and waits until it is done.
pub(crate) async fn projector(bed: &Bed, records: usize) -> anyhow::Result<Told> {
    let output = command(bed, &["projector", &records.to_string()])?
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "the projector ended with {}; it says why under target/bench/logs",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().context("the projector said nothing")?;
    Ok(serde_json::from_str(last)?)
}

/// A part on pinned cores, in a process of its own; answers events a second.
pub(crate) async fn pinned(
    bed: &Bed,
    cores: &str,
    part: &str,
    threads: usize,
    count: usize,
) -> anyhow::Result<f64> {
    let this = command(
        bed,
        &["pipeline", part, &threads.to_string(), &count.to_string()],
    )?;
    let mut pinned = Command::new("taskset");
    pinned
        .args(["--cpu-list", cores])
        .arg(this.as_std().get_program())
        .args(this.as_std().get_args())
        .stdin(Stdio::null())
        .stderr(log_of(part)?);
    for (name, value) in this.as_std().get_envs() {
        if let Some(value) = value {
            pinned.env(name, value);
        }
    }
    let output = pinned.output().await.context("taskset cannot be started")?;
    ensure!(
        output.status.success(),
        "the pinned part ended with {}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// The child's side of [`pinned`].
pub(crate) async fn run_pipeline(part: Part, threads: usize, count: usize) -> anyhow::Result<f64> {
    let settings = Settings::load(None)?;
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let entries = catalogue()
        .iter()
        .map(|entry| (entry.topic, entry.name, entry.text));
    let pipeline = Pipeline::with(Encoder::resolve(&registry, entries).await?)?;
    on_threads(&pipeline, part, threads, count)
}

/// A server in a process of its own, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts `child <arguments>` and waits until it says where it listens.
    pub(crate) async fn start(bed: &Bed, arguments: &[&str]) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut child = command(bed, arguments)?
            .env("AGENTMESH__GATEWAY__LISTEN", address.to_string())
            .spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(Duration::from_secs(60), lines.next_line())
            .await
            .context("the server is not ready in time")??;
        ensure!(
            said.as_deref() == Some(READY),
            "the server ended; it says why under target/bench/logs: {arguments:?}"
        );
        Ok(Self { address, child })
    }
}

impl Server {
    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

const READY: &str = "ready";

/// The child's side of a gateway.
pub(crate) async fn run_gateway(shortcuts: Shortcuts) -> anyhow::Result<()> {
    let settings = Settings::load(None)?;
    let readiness = Readiness::new();
    let ready = readiness.clone();
    tokio::spawn(async move {
        ready.wait_ready().await;
        println!("{READY}");
    });
    let stop = CancellationToken::new();
    services_gateway::run_with(settings.into(), shortcuts, readiness, stop).await?;
    Ok(())
}

/// The child's side of the echo: the same HTTP stack, and nothing behind it.
pub(crate) async fn run_echo() -> anyhow::Result<()> {
    let settings = Settings::load(None)?;
    serve(
        &settings,
        Router::new().route("/hooks/{source}", post(echo)),
    )
    .await
}

async fn echo(body: bytes::Bytes) -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let body = body.slice(..body.len().min(200));
    (StatusCode::ACCEPTED, headers, body)
}

async fn serve(settings: &Settings, router: Router) -> anyhow::Result<()> {
    let readiness = Readiness::new();
    let listener = platform_http::listen(
        "echo",
        settings.gateway.listen,
        &settings.gateway.tls,
        settings,
        &readiness,
    )?;
    println!("{READY}");
    let limits = Limits::default();
    platform_http::serve("echo", listener, router, limits, CancellationToken::new()).await?;
    Ok(())
}

/// This program as a child that works on the same bed.
pub(crate) fn command(bed: &Bed, arguments: &[&str]) -> anyhow::Result<Command> {
    let settings = &bed.settings;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("child")
        .args(arguments)
        .env("KAFKA_BROKERS", &settings.kafka.brokers)
        .env("SCHEMA_REGISTRY_URL", &settings.schema_registry.url)
        .env(
            "AGENTMESH__SCHEMA_REGISTRY__TIMEOUT_MS",
            settings.schema_registry.timeout_ms.to_string(),
        )
        .env("DATABASE_URL", &settings.postgres.url)
        .env("REDIS_URL", &settings.redis.url)
        .env(
            "AGENTMESH__KAFKA__TOPIC_PREFIX",
            &settings.kafka.topic_prefix,
        )
        .env(
            "AGENTMESH__KAFKA__PARTITIONS",
            settings.kafka.partitions.to_string(),
        )
        .env("AGENTMESH__REDIS__KEY_PREFIX", &settings.redis.key_prefix)
        .env("AGENTMESH__DATA_DIR", &settings.data_dir)
        .env(
            "AGENTMESH__GATEWAY__LISTEN",
            settings.gateway.listen.to_string(),
        )
        .env("AGENTMESH__SECRETS__KEY", crate::bed::VAULT_KEY)
        // All senders are at one address here.
        .env("AGENTMESH__HTTP__MAX_CONNECTIONS_PER_ADDRESS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_of(&arguments.join("-"))?)
        .kill_on_drop(true);
    Ok(command)
}

/// Where a child logs, as long as no other of its name is started.
pub(crate) fn log_of(name: &str) -> anyhow::Result<std::fs::File> {
    let logs = crate::bed::workspace().join("target/bench/logs");
    std::fs::create_dir_all(&logs)?;
    Ok(std::fs::File::create(logs.join(format!("{name}.log")))?)
}

/// The child's side of [`projector`]: the projection of decisions, until
/// `records` are committed.
pub(crate) async fn run_projector(records: i64) -> anyhow::Result<Told> {
    let settings = Settings::load(None)?;
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let pool = Pool::connect(&settings.postgres)?;
    let projection = DecisionsProjection::new(registry);
    platform_projector::migrate_projection(&projection, &pool).await?;
    let deps = Deps {
        producer: Producer::new(&settings.kafka)?,
        pool: pool.clone(),
        settings: settings.into(),
        readiness: ReadinessSink::none(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_projection(projection, deps, stop.clone()));
    let schema = schema_name(DecisionsProjection::NAME);
    let started = Instant::now();
    let mut first: Option<(Instant, i64)> = None;
    let rate = loop {
        tokio::time::sleep(LOOK).await;
        let at = Checkpoints::positions(&pool, &schema).await?;
        let done: i64 = at.iter().map(|claim| claim.next_offset).sum();
        if done > 0 {
            let (since, from) = *first.get_or_insert_with(|| (Instant::now(), done));
            if done >= records {
                break (done - from) as f64 / since.elapsed().as_secs_f64().max(1e-9);
            }
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "only {done} of {records} records"
        );
        ensure!(!running.is_finished(), "the runner ended by itself");
    };
    let peak_kib = peak_kib().context("the kernel does not tell the peak")?;
    stop.cancel();
    running.await??;
    let client = pool.get().await?;
    let row = client
        .query_one(&format!("SELECT count(*) FROM {schema}.decision"), &[])
        .await?;
    let rows: i64 = row.try_get(0)?;
    ensure!(rows == records, "{rows} rows of {records} records");
    Ok(Told {
        peak_kib,
        rows,
        rate,
    })
}

/// The high-water mark of this process's resident memory.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
