//! Other webhook gateways: how one is started, and how ours is compared with it.
//!
//! It gets the same bodies over as many connections and stands on the same servers.
//! What each of them promises with its answer is in `docs/BENCHMARKS.md`.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use platform_config::Postgres;
use platform_http::{ClientOptions, client, reqwest};
use platform_localstack::execute_sql;
use serde_json::Value;
use tokio::process::Command;

use super::ground::{CONNECTIONS, Ground};
use crate::bed::{Bed, with_database, workspace};
use crate::child::log_of;
use crate::harness::{Goal, Row, in_turns, median};
use crate::load::{closed, post};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// A gateway that is not ours, and runs.
pub(super) trait Peer {
    /// What it is called in messages.
    const NAME: &'static str;

    /// Where it takes deliveries.
    fn address(&self) -> SocketAddr;

    /// The ticket of that number, as it wants it.
    fn request(&self, number: usize) -> anyhow::Result<Bytes>;

    /// Waits for what it does behind its answers, if it does, so that it rests in
    /// our turn.
    async fn rest(&self, _sent: usize) -> anyhow::Result<()> {
        Ok(())
    }

    /// Every one of so many accepted tickets is with it once, and nothing else is.
    /// Says so; `stored` is how many a second it had done with at the end of `rest`.
    async fn twin(&self, sent: usize, stored: f64) -> anyhow::Result<String>;
}

/// What ours does before it answers, in front of what a peer does.
const OURS: &str = "durable ingest, one delivery a request: the gateway (policy, idempotency, two records acknowledged)";

/// One row: ours ÷ theirs, with `count` deliveries in a turn of theirs.
pub(super) async fn compare<P: Peer>(
    ground: &Ground<'_>,
    peer: &P,
    (id, theirs): (&str, &str),
    (count, rounds): (usize, usize),
) -> anyhow::Result<Vec<Row>> {
    let sent = Cell::new(0);
    let stored = RefCell::new(Vec::new());
    let their_turn = async || {
        let from = sent.get();
        sent.set(from + count);
        let requests: Vec<Bytes> = (from..from + count)
            .map(|number| peer.request(number))
            .collect::<Result<_, _>>()?;
        let begun = Instant::now();
        let answers = closed(peer.address(), Arc::new(requests), CONNECTIONS).await?;
        ensure!(
            answers.accepted == count,
            "{} accepted {} of {count}",
            P::NAME,
            answers.accepted
        );
        peer.rest(sent.get()).await?;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        stored.borrow_mut().push(rate);
        anyhow::Ok(answers.rate())
    };
    // So many more that a turn takes about as long.
    let our_turn = async || anyhow::Ok(ground.deliver(ground.gateway.address).await?.rate());
    let pairs = in_turns("deliveries/s", rounds, their_turn, our_turn).await?;
    let twin = format!(
        "{}; {}",
        ground.twin().await?,
        peer.twin(sent.get(), median(stored.into_inner())).await?
    );
    let what = format!("{OURS} ÷ {theirs}");
    Ok(vec![Row::new(id, &what, Goal::Shown, &pairs, twin)?])
}

/// Where `deploy/local/install-peers.sh` puts what it builds, if it did.
pub(super) fn built(row: &str, peer: &str, path: &str) -> Option<PathBuf> {
    let path = workspace().join("target/bench").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("{row}: left out, `deploy/local/install-peers.sh {peer}` builds what it needs");
    None
}

/// A database of its own, on the server that ours has.
pub(super) async fn database(bed: &Bed, name: &str) -> anyhow::Result<Postgres> {
    let mut postgres = bed.settings.postgres.clone();
    let statement = format!("CREATE DATABASE \"{name}\"");
    let url = std::mem::take(&mut postgres.url);
    postgres.url = with_database(&url, name);
    tokio::task::spawn_blocking(move || execute_sql(&url, &statement)).await??;
    Ok(postgres)
}

/// One of its programs, which ends when this is dropped. It gets none of our
/// environment, of which it might read `PORT` or `HTTP_PROXY`.
pub(super) fn command(
    bed: &Bed,
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, String)],
) -> anyhow::Result<Command> {
    let file = program.file_name().context("no name")?.to_string_lossy();
    let log = log_of(&format!("{file}-{}", arguments.first().unwrap_or(&"none")))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&bed.settings.data_dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &bed.settings.data_dir)
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// Runs one of its programs to its end.
pub(super) async fn run(command: anyhow::Result<Command>) -> anyhow::Result<()> {
    let ended = command?.status().await?;
    ensure!(
        ended.success(),
        "a program of the peer ended with {ended}; it says why under target/bench/logs"
    );
    Ok(())
}

/// Waits until a GET is answered with success.
pub(super) async fn ready(url: &str) -> anyhow::Result<()> {
    let http = http()?;
    let begun = Instant::now();
    loop {
        let answer = http.get(url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{url} does not answer; target/bench/logs may say why"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// JSON with a token.
pub(super) fn bearing(path: &str, token: &str, body: &str) -> Bytes {
    let token = format!("Bearer {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", token.as_str()),
    ];
    post(path, &headers, body.as_bytes())
}

pub(super) fn http() -> anyhow::Result<reqwest::Client> {
    Ok(client(ClientOptions::with_timeout(PATIENCE))?)
}

/// Sends what is to be answered with success and JSON.
pub(super) async fn call(request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
    let answer: reqwest::Response = request.send().await?.error_for_status()?;
    Ok(answer.json().await?)
}

pub(super) fn text<'a>(answer: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("an answer without {pointer}"))
}
