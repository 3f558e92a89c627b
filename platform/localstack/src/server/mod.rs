//! The four servers: how each is prepared, started and asked whether it is there.

pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod schema_registry;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Identity, Signal, describe_exit, spawn, tail};
use crate::{Durability, Error, StackOptions};

/// What a server needs to know of the stack it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) data_dir: PathBuf,
    pub(crate) libs_dir: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) start_timeout: Duration,
}

impl Site {
    /// Makes the directories. `data_dir` becomes absolute: servers run elsewhere.
    pub(crate) fn prepare(options: &StackOptions) -> Result<Self, Error> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::file("find", path));
        let data_dir = absolute(&options.data_dir)?;
        let logs = data_dir.join("logs");
        std::fs::create_dir_all(&logs).map_err(Error::file("make", &logs))?;
        Ok(Self {
            data_dir,
            libs_dir: absolute(&options.libs_dir)?,
            durability: options.durability,
            start_timeout: options.start_timeout,
        })
    }

    pub(crate) fn log(&self, server: &str) -> PathBuf {
        self.data_dir.join("logs").join(format!("{server}.log"))
    }

    /// A directory of the stack's, made if it is not there.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.data_dir.join(name);
        std::fs::create_dir_all(&dir).map_err(Error::file("make", &dir))?;
        Ok(dir)
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) identity: Identity,
    pub(crate) log: PathBuf,
    /// Held by the process that started it, so that it can be reaped.
    pub(crate) child: Option<Child>,
}

impl Server {
    /// Ends the server as a power cut would.
    pub(crate) async fn kill(&mut self) -> std::io::Result<()> {
        self.identity.signal(Signal::KILL)?;
        if let Some(mut child) = self.child.take() {
            tokio::task::spawn_blocking(move || child.wait()).await??;
            return Ok(());
        }
        self.identity
            .stop(Signal::KILL, Duration::from_secs(10))
            .await
    }

    /// Ends the server in the way that lets it finish its writes.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        let signal = stop_signal(self.name);
        self.identity
            .stop(signal, Duration::from_secs(30))
            .await
            .map_err(|source| Error::Stop {
                server: self.name.to_owned(),
                pid: self.identity.pid,
                source,
            })?;
        if let Some(mut child) = self.child.take() {
            // It has ended, so this does not block.
            let _ = child.wait();
        }
        Ok(())
    }
}

/// Postgres takes SIGTERM for "when the last client has gone", SIGINT for "now".
pub(crate) fn stop_signal(server: &str) -> Signal {
    if [postgres::NAME, postgres::STANDBY].contains(&server) {
        Signal::INT
    } else {
        Signal::TERM
    }
}

/// Starts `command` and waits until `ready` says so, the process ends, or the
/// time is over.
pub(crate) async fn start<F>(
    site: &Site,
    name: &'static str,
    port: u16,
    command: Command,
    ready: impl Fn() -> F,
) -> Result<Server, Error>
where
    F: Future<Output = bool>,
{
    let log = site.log(name);
    let begun = Instant::now();
    let (mut child, identity) = spawn(command, &log)?;
    loop {
        if ready().await {
            break;
        }
        if !identity.is_alive() {
            return Err(Error::Died {
                server: name,
                status: describe_exit(&mut child),
                tail: tail(&log),
                log,
            });
        }
        if begun.elapsed() >= site.start_timeout {
            let _ = identity.stop(Signal::TERM, Duration::from_secs(2)).await;
            let _ = child.wait();
            return Err(Error::NotReady {
                server: name,
                waited: begun.elapsed(),
                tail: tail(&log),
                log,
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tracing::info!(
        server.name = name,
        server.port = port,
        process.pid = identity.pid,
        duration_ms = begun.elapsed().as_millis(),
        "server ready"
    );
    Ok(Server {
        name,
        port,
        identity,
        log,
        child: Some(child),
    })
}

/// Runs a preparing command to its end, off the async threads.
pub(crate) async fn run_to_end(what: &'static str, mut command: Command) -> Result<(), Error> {
    let program: PathBuf = command.get_program().into();
    let spawned = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await;
    let output = spawned
        .map_err(std::io::Error::other)
        .and_then(|output| output)
        .map_err(|source| Error::Spawn { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    Err(Error::Command {
        what,
        status: output.status.to_string(),
        tail: lines[lines.len().saturating_sub(25)..].join("\n"),
    })
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::file("write", path))
}
