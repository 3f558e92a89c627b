//! `agentmesh dev`: the servers, what is prepared on them, and all roles.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use platform_config::Settings;
use platform_http::Readiness;
use platform_localstack::{Stack, answers_http};
use tokio_util::sync::CancellationToken;

use super::{migrate, schemas, topics};
use crate::certificates::{self, origin};
use crate::role::Role;
use crate::running::{Only, Running, avoid_taken_ports};
use crate::{host, settings, signals};

/// How long `--detach` waits. Most of it is for a machine that is busy.
const READY: Duration = Duration::from_secs(240);

pub(crate) async fn run(config: Option<&Path>, tls: bool) -> anyhow::Result<()> {
    let mut settings = settings::load(config)?;
    let _guard = platform_telemetry::init(&settings.telemetry, "dev")?;
    let Some(_only) = Only::claim(&settings.data_dir)? else {
        bail!("agentmesh dev runs already; `agentmesh down` stops it");
    };
    let shutdown = signals::shutdown_on_signal()?;
    Running::starting()?.write(&settings.data_dir)?;
    let data_dir = settings.data_dir.clone();
    if tls {
        certificates::ensure(&settings)?;
        certificates::apply(&mut settings, certificates::EVERY_ROLE);
    }
    let result = with_lock(settings, shutdown).await;
    Running::remove(&data_dir);
    result
}

async fn with_lock(mut settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let begun = Instant::now();
    let options = settings::stack_options(&settings, None)?;
    let start = shutdown.run_until_cancelled(Stack::ensure(options)).await;
    let Some(stack) = start.transpose()? else {
        return Ok(());
    };
    stack.endpoints().apply(&mut settings);
    let result = with_servers(settings, shutdown, begun).await;
    let stopped = stack.stop().await.context("the servers");
    result.and(stopped)
}

/// Prepares the servers and runs all roles on them.
async fn with_servers(
    mut settings: Settings,
    shutdown: CancellationToken,
    begun: Instant,
) -> anyhow::Result<()> {
    let preparing = prepare(&settings);
    let Some(prepared) = shutdown.run_until_cancelled(preparing).await else {
        return Ok(());
    };
    prepared?;
    avoid_taken_ports(&mut settings)?;
    let settings = Arc::new(settings);
    let readiness = Readiness::new();
    Running::this(&settings)?.write(&settings.data_dir)?;

    let announcement = {
        let (settings, readiness) = (settings.clone(), readiness.clone());
        tokio::spawn(async move {
            readiness.wait_ready().await;
            println!("ready after {:.1} s", begun.elapsed().as_secs_f64());
            print_addresses(&settings);
        })
    };
    let result = host::run(&Role::ALL, settings.clone(), readiness, shutdown).await;
    announcement.abort();
    result
}

/// The explicit steps, in the order in which they build on each other.
async fn prepare(settings: &Settings) -> anyhow::Result<()> {
    platform_vault::create_key_file(&settings.data_dir)?;
    let created = topics::apply(settings).await?;
    tracing::info!(topics.created = created.len(), "topics applied");
    schemas::register(settings).await?;
    tracing::info!("schemas registered");
    migrate::migrate(settings).await?;
    tracing::info!("migrations applied");
    Ok(())
}

/// Runs `agentmesh dev` in the background and returns when it is ready. One
/// that runs already is waited for all the same.
pub(crate) async fn detach(config: Option<&Path>, tls: bool) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("cannot make {}", settings.data_dir.display()))?;
    let log = settings.data_dir.join("agentmesh.log");
    let mut child = match Running::find(&settings.data_dir)? {
        Some(running) => {
            println!("agentmesh dev runs already (pid {})", running.identity.pid);
            None
        }
        None => {
            println!(
                "starting the servers and all roles (log: {})",
                log.display()
            );
            Some(spawn(config, tls, &log)?)
        }
    };
    let begun = Instant::now();
    while !is_ready(&settings).await? {
        if let Some(child) = &mut child
            && let Some(status) = child.try_wait()?
        {
            bail!("it ended ({status}):\n{}", tail(&log));
        }
        if begun.elapsed() > READY {
            bail!(
                "it is not ready after {} s, and runs on; `agentmesh down` stops it:\n{}",
                READY.as_secs(),
                tail(&log)
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("ready after {:.1} s", begun.elapsed().as_secs_f64());
    print_addresses(&settings::load_as_running(config).await?);
    Ok(())
}

fn spawn(config: Option<&Path>, tls: bool, log: &Path) -> anyhow::Result<Child> {
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.arg("dev");
    if tls {
        command.arg("--tls");
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A Ctrl-C meant for this command does not reach it.
        .process_group(0)
        .spawn()?;
    Ok(child)
}

async fn is_ready(settings: &Settings) -> anyhow::Result<bool> {
    let running = Running::find(&settings.data_dir)?;
    let ops = running.and_then(|running| running.listen.get("telemetry.ops_listen").copied());
    Ok(match ops {
        Some(ops) => answers_http(&ops.to_string(), "/readyz").await,
        None => false,
    })
}

fn print_addresses(settings: &Settings) {
    let s = settings;
    for (name, address, tls) in [
        ("gateway", s.gateway.listen, &s.gateway.tls),
        ("registry", s.registry.listen, &s.registry.tls),
        ("policy", s.policy.listen, &s.policy.tls),
        ("federation", s.federation.listen, &s.federation.tls),
        (
            "agent servers",
            s.agent_servers.listen,
            &s.agent_servers.tls,
        ),
        ("CRM sandbox", s.crm_sandbox.listen, &s.crm_sandbox.tls),
    ] {
        println!("  {name:<16} {}", origin(address, tls));
    }
    println!(
        "  {:<16} http://{}/metrics",
        "metrics", s.telemetry.ops_listen
    );
    println!("  {:<16} {}", "Kafka", s.kafka.brokers);
    println!("  {:<16} {}", "schema registry", s.schema_registry.url);
    println!("  {:<16} {}", "Postgres", s.postgres.url);
    println!("  {:<16} {}", "Redis", s.redis.url);
}

fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
