//! The gateway under load, against what its parts could do alone.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::ground::{CONNECTIONS, Ground};
use crate::Bench;
use crate::child::Server;
use crate::harness::{Goal, Row, in_turns, median, quantile, readable};
use crate::load::{Answers, closed, open, until_gone};
use crate::pipeline::{Pipeline, events_per_second};
use crate::sender::delivery_id;
use crate::wrk;

/// Senders of an open loop: more than the gateway admits at once, so that it is
/// the gateway and not the senders that holds back.
const CROWD: usize = 4_000;
/// Deliveries in the body of a batch.
const IN_A_BATCH: usize = 100;

/// A/A-ingest, and G1a: one event a request, against the limit
/// L = 1 / (1/H + 1/K + 1/C).
pub(crate) async fn durable(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let ground = Ground::new(bench, "ingest").await?;
    let gateway = async || anyhow::Ok(ground.deliver(ground.gateway.address).await?.rate());
    let mut found = Vec::new();
    if bench.wants("A/A-ingest") {
        let pairs = in_turns("deliveries/s", bench.rounds, gateway, gateway).await?;
        found.push(Row::new(
            "A/A-ingest",
            "the gateway ÷ the same gateway: the noise of the measurement",
            Goal::Shown,
            &pairs,
            ground.twin().await?,
        )?);
    }
    if bench.wants("G1a") {
        let what = "durable ingest, one delivery a request";
        let send = async |to, requests| closed(to, requests, CONNECTIONS).await;
        found.push(against_the_limit(&ground, "G1a", what, send).await?);
    }
    Ok(found)
}

/// G1a-wrk, where there is wrk: G1a, with both the gateway and the echo under its load.
pub(crate) async fn durable_by_wrk(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    if !wrk::is_here() {
        eprintln!("G1a-wrk: left out, deploy/local/install-bench.sh installs wrk");
        return Ok(Vec::new());
    }
    let ground = Ground::new(bench, "wrk").await?;
    let latencies = RefCell::new([const { Vec::new() }; 2]);
    let send = async |to, requests: Arc<Vec<Bytes>>| {
        let dir = &ground.bed.settings.data_dir;
        let sent = wrk::closed(to, &requests, CONNECTIONS, dir).await?;
        if to == ground.gateway.address {
            let mut latencies = latencies.borrow_mut();
            for (known, latency) in latencies.iter_mut().zip([sent.p50_ms, sent.p99_ms]) {
                known.push(latency);
            }
        }
        anyhow::Ok(sent.answers)
    };
    let what = "durable ingest, one delivery a request, sent by wrk (so are those of H)";
    let mut row = against_the_limit(&ground, "G1a-wrk", what, send).await?;
    let [p50, p99] = latencies.into_inner().map(|known| readable(median(known)));
    row.twin.push_str(&format!(
        "; no surplus is allowed, as wrk waits for every answer before it stops; its p50 {p50} ms, p99 {p99} ms"
    ));
    Ok(vec![row])
}

/// The gateway against L, with `send` for whoever sends to it and to the echo.
async fn against_the_limit(
    ground: &Ground<'_>,
    id: &str,
    what: &str,
    send: impl AsyncFn(SocketAddr, Arc<Vec<Bytes>>) -> anyhow::Result<Answers>,
) -> anyhow::Result<Row> {
    let echo = Server::start(&ground.bed, &["echo"]).await?;
    let bare = ground.bare().await?;
    let pipeline = Arc::new(Pipeline::new(&ground.bed)?);
    let count = ground.count();
    let parts = RefCell::new([const { Vec::new() }; 3]);
    let limit = async || {
        let h = send(echo.address, ground.fresh(count)?).await?;
        ensure!(
            h.accepted == count,
            "the echo answered {} of {count}",
            h.accepted
        );
        let k = bare.deliveries_per_second(2 * count).await?;
        let c = events_per_second(&pipeline, cores(), count / 2).await?;
        for (part, rate) in parts.borrow_mut().iter_mut().zip([h.rate(), k, c]) {
            part.push(rate);
        }
        anyhow::Ok(1.0 / (1.0 / h.rate() + 1.0 / k + 1.0 / c))
    };
    let gateway = async || {
        let answers = send(ground.gateway.address, ground.fresh(count)?).await?;
        ground.all_accepted(&answers, count)?;
        anyhow::Ok(answers.rate())
    };
    let pairs = in_turns("deliveries/s", ground.bench.rounds, limit, gateway).await?;
    let [h, k, c] = parts.into_inner().map(|part| readable(median(part)));
    Row::new(
        id,
        &format!("{what} ÷ L of H {h}, K {k}, C {c}"),
        Goal::AtLeast(0.75),
        &pairs,
        ground.twin().await?,
    )
}

/// G1c: a hundred deliveries a body, against the bare client appending the very
/// records that they become.
pub(crate) async fn batch(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let ground = Ground::new(bench, "batch").await?;
    let count = bench.size.pick(5_000, 50_000, 200_000);
    let deliver = async || {
        let bodies = ground.fresh_batches(count, IN_A_BATCH)?;
        let answers = closed(ground.gateway.address, bodies, CONNECTIONS / 4).await?;
        let expected = count.div_ceil(IN_A_BATCH);
        ensure!(
            answers.accepted == expected,
            "of {expected} batches {} were accepted whole, {} shed, {} answered otherwise",
            answers.accepted,
            answers.shed,
            answers.others
        );
        ground.accepted.set(ground.accepted.get() + count);
        anyhow::Ok(count as f64 / answers.elapsed.as_secs_f64())
    };
    deliver().await?;
    let bare = ground.bare().await?;
    let peer = async || bare.deliveries_per_second(2 * count).await;
    let pairs = in_turns("deliveries/s", bench.rounds, peer, deliver).await?;
    let row = Row::new(
        "G1c",
        "durable ingest, 100 deliveries a body ÷ K: their records appended by the bare client",
        Goal::AtLeast(0.5),
        &pairs,
        ground.twin().await?,
    )?;
    Ok(vec![row])
}

/// G1d and G1g: what waiting for the log costs, and what remembering costs.
pub(crate) async fn costs(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let ground = Ground::new(bench, "costs").await?;
    let mut found = Vec::new();
    for (id, shortcut, what, goal) in [
        (
            "G1d",
            "--does-not-wait",
            "answered after the log acknowledged ÷ answered at once (fire and forget)",
            0.7,
        ),
        (
            "G1g",
            "--forgets",
            "with idempotency (process, Redis, Postgres) ÷ without",
            0.9,
        ),
    ] {
        if !bench.wants(id) {
            continue;
        }
        let short = Server::start(&ground.bed, &["gateway", shortcut]).await?;
        let pairs = in_turns(
            "deliveries/s",
            bench.rounds,
            async || anyhow::Ok(ground.deliver(short.address).await?.rate()),
            async || anyhow::Ok(ground.deliver(ground.gateway.address).await?.rate()),
        )
        .await?;
        // Before the other gateway ends, which still has in hand what it
        // answered without waiting.
        let twin = ground.twin().await?;
        found.push(Row::new(id, what, Goal::AtLeast(goal), &pairs, twin)?);
    }
    Ok(found)
}

/// G1f: how long an answer takes, unloaded and at 70 % load.
pub(crate) async fn latency(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let ground = Ground::new(bench, "latency").await?;
    let echo = Server::start(&ground.bed, &["echo"]).await?;
    let bare = ground.bare().await?;
    let few = bench.size.pick(100, 400, 2_000);
    let mut found = Vec::new();
    if bench.wants("G1f-p50") {
        let p50 = |answers: &mut Answers| quantile(&mut answers.latencies, 0.5) * 1_000.0;
        let peer = async || {
            let mut echoed = closed(echo.address, ground.fresh(few)?, 1).await?;
            anyhow::Ok(p50(&mut echoed) + bare.acknowledged_p50(few).await? * 1_000.0)
        };
        let ours = async || {
            let mut answers = closed(ground.gateway.address, ground.fresh(few)?, 1).await?;
            ground.all_accepted(&answers, few)?;
            anyhow::Ok(p50(&mut answers))
        };
        let pairs = in_turns("ms", bench.rounds, peer, ours).await?;
        found.push(Row::new(
            "G1f-p50",
            "unloaded p50 of a delivery ÷ (p50 of an echo + p50 of one acknowledged append)",
            Goal::AtMost(1.3),
            &pairs,
            ground.twin().await?,
        )?);
    }
    if bench.wants("G1f-p99") {
        let peak = ground.deliver(ground.gateway.address).await?.rate();
        let rate = 0.7 * peak;
        let count = (rate * bench.size.pick(1, 1, 10) as f64) as usize;
        let peer = async || anyhow::Ok(bare.p99_at(count, rate).await? * 1_000.0);
        let ours = async || {
            let load = ground.fresh(count)?;
            let mut answers = open(ground.gateway.address, load, 4 * CONNECTIONS, rate).await?;
            ground.all_accepted(&answers, count)?;
            anyhow::Ok(quantile(&mut answers.latencies, 0.99) * 1_000.0)
        };
        let pairs = in_turns("ms", bench.rounds, peer, ours).await?;
        found.push(Row::new(
            "G1f-p99",
            &format!("p99 of a delivery at {rate:.0}/s (70 % load) ÷ p99 of the bare producer at that rate"),
            Goal::AtMost(3.0),
            &pairs,
            ground.twin().await?,
        )?);
    }
    Ok(found)
}

/// The gateway killed at full load: whatever it had answered with 202 is on the
/// log. As a ratio, that it was at full load until then.
pub(crate) async fn killed(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let ground = Ground::new(bench, "killed").await?;
    let whole = async || anyhow::Ok(ground.deliver(ground.gateway.address).await?.rate());
    whole().await?;
    let told = RefCell::new(HashSet::new());
    let kills = Cell::new(0);
    let until_killed = async || {
        let mut gateway = Server::start(&ground.bed, &["gateway"]).await?;
        let (from, count) = (ground.next(), ground.count());
        let requests = ground.fresh(count)?;
        let (enough, reached) = oneshot::channel();
        let enough = (count / 2, enough);
        let sending = until_gone(gateway.address, requests, CONNECTIONS, enough);
        let killing = async {
            // Not reached when the senders end before, who say so themselves.
            let _ = reached.await;
            gateway.kill().await
        };
        let (sent, killed) = tokio::join!(sending, killing);
        killed?;
        let (accepted, elapsed) = sent?;
        ensure!(accepted.len() < count, "it was killed too late");
        kills.set(kills.get() + 1);
        told.borrow_mut()
            .extend(accepted.into_iter().map(|at| delivery_id(from + at)));
        anyhow::Ok((count / 2) as f64 / elapsed.as_secs_f64())
    };
    let pairs = in_turns("deliveries/s", bench.rounds, whole, until_killed).await?;
    let on_the_log = ground.delivered().await?;
    let different: HashSet<&str> = on_the_log.iter().map(String::as_str).collect();
    ensure!(different.len() == on_the_log.len(), "some are there twice");
    let (told, kills) = (told.into_inner(), kills.get());
    let lost = told
        .iter()
        .filter(|id| !different.contains(id.as_str()))
        .count();
    ensure!(
        lost == 0,
        "{lost} of {} were answered with 202 and are not on the log",
        told.len()
    );
    let untold = on_the_log.len() - told.len() - ground.accepted.get();
    ensure!(
        untold <= kills * CONNECTIONS,
        "{untold} are on the log that nobody was told of"
    );
    let row = Row::new(
        "G1-killed",
        "the gateway until it is killed (SIGKILL) at full load ÷ the same one left alone",
        Goal::Shown,
        &pairs,
        format!(
            "{} answered with 202 by {kills} gateways that were killed, all of them on the log, none twice; {untold} more whose answer was still to come",
            told.len()
        ),
    )?;
    Ok(vec![row])
}

/// S2: twice the load that saturates it, against the best it can do.
pub(crate) async fn overload(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let ground = Ground::new(bench, "overload").await?;
    let gateway = ground.gateway.address;
    let peak = Cell::new(ground.deliver(gateway).await?.rate());
    let shed = Cell::new(0);
    let slow = RefCell::new(Vec::new());
    let peer = async || {
        let rate = ground.deliver(gateway).await?.rate();
        peak.set(rate);
        anyhow::Ok(rate)
    };
    let ours = async || {
        let rate = 2.0 * peak.get();
        let count = (rate * 1.5) as usize;
        let mut answers = open(gateway, ground.fresh(count)?, CROWD, rate).await?;
        ensure!(
            answers.others == 0,
            "{} answers of other kinds",
            answers.others
        );
        shed.set(shed.get() + answers.shed);
        slow.borrow_mut()
            .push(quantile(&mut answers.latencies, 0.99) * 1_000.0);
        ground
            .accepted
            .set(ground.accepted.get() + answers.accepted);
        anyhow::Ok(answers.rate())
    };
    let pairs = in_turns("deliveries/s", bench.rounds, peer, ours).await?;
    let twin = ground.twin().await?;
    let row = Row::new(
        "S2",
        "accepted at twice the rate that saturates ÷ at the peak",
        Goal::AtLeast(0.9),
        &pairs,
        format!(
            "{twin}; {} turned away, each with Retry-After; p99 of the accepted {} ms from when they were due",
            shed.get(),
            readable(median(slow.into_inner()))
        ),
    )?;
    Ok(vec![row])
}

/// S1: two pinned cores against one, for what a delivery, a verdict and a
/// record cost without IO.
pub(crate) async fn cores_scale(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let bed = bench.servers.bed("cores").await?;
    let count = bench.size.pick(500, 5_000, 50_000);
    let mut found = Vec::new();
    // So many times as many that a turn takes half a second: two threads never begin
    // in the same microsecond.
    for (id, part, times) in [
        ("S1-ingest", "ingest", 5),
        ("S1-policy", "policy", 8),
        ("S1-decode", "decode", 200),
    ] {
        if !bench.wants(id) {
            continue;
        }
        ensure!(cores() >= 2, "there is one core only");
        let pinned = async |cores: &str, threads: usize| {
            crate::child::pinned(&bed, cores, part, threads, times * count).await
        };
        let pairs = in_turns(
            "events/s",
            bench.rounds,
            async || pinned("0", 1).await,
            async || pinned("0,1", 2).await,
        )
        .await?;
        found.push(Row::new(
            id,
            &format!("{part} without IO on two pinned cores ÷ on one"),
            Goal::AtLeast(1.7),
            &pairs,
            "each thread checks every verdict or event",
        )?);
    }
    Ok(found)
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
