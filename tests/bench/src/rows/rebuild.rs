//! Rebuilding a read model, against `COPY` and against the live runner.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use platform_postgres::{Checkpoints, drop_schema, migrate, schema_name, use_schema};
use platform_projector::{
    PgProjection as _, ProgressSink, RebuildOptions, Stage, digest, migrate_projection,
    rebuild_projection, run_projection,
};
use projections_decisions::DecisionsProjection;
use tokio_util::sync::CancellationToken;

use super::replay::fill;
use crate::Bench;
use crate::bed::Bed;
use crate::harness::{Goal, Row, in_turns, rate};

const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(600);

/// G6b and G6b-live: a rebuild alone, until what was built is served. That the digest is the same is checked after
/// each; what it costs to have the rebuild compare is G6b-checked.
pub(crate) async fn rebuild(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let count = bench.size.pick(20_000, 600_000, 1_000_000);
    let bed = bench.servers.bed("rebuild").await?;
    fill(&bed, count).await?;
    let projection = || DecisionsProjection::new(bed.registry.clone());
    migrate_projection(&projection(), &bed.pool).await?;
    live(&bed, count).await?;
    let expected = digest(&projection(), &bed.pool).await?;
    let rows = copied_out(&bed).await?;
    let rounds = bench.rounds.min(3);
    let rebuilt = async |check: bool| {
        let deps = bed.deps();
        let served = Arc::new(Mutex::new(None));
        let told = Arc::clone(&served);
        let options = RebuildOptions {
            check,
            progress: ProgressSink::new(move |progress| {
                if progress.stage == Stage::CleaningUp {
                    told.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert_with(Instant::now);
                }
            }),
            ..RebuildOptions::default()
        };
        let started = Instant::now();
        let rebuilt = rebuild_projection(Arc::new(projection()), &deps, &options).await?;
        let served = *served.lock().unwrap_or_else(PoisonError::into_inner);
        let served = served.context("nothing was swapped in")?;
        ensure!(
            rebuilt.records == count as u64,
            "{} records of {count}",
            rebuilt.records
        );
        let found = digest(&projection(), &bed.pool).await?;
        ensure!(
            found == expected,
            "the rebuild has another digest than the live table"
        );
        anyhow::Ok(rate(count, served - started))
    };
    let twin = format!("{count} records; digest {expected} after each, live or rebuilt");
    let mut found = Vec::new();
    if bench.wants("G6b") {
        let peer = async || copied_in(&bed, &rows, count).await;
        let pairs = in_turns("rows/s", rounds, peer, async || rebuilt(false).await).await?;
        found.push(Row::new(
            "G6b",
            "rebuild from the log ÷ COPY into a new table with its key and indexes",
            Goal::AtLeast(1.2),
            &pairs,
            twin.clone(),
        )?);
    }
    if bench.wants("G6b-checked") {
        let peer = async || rebuilt(false).await;
        let pairs = in_turns("rows/s", rounds, peer, async || rebuilt(true).await).await?;
        found.push(Row::new(
            "G6b-checked",
            "rebuild and comparison with the live table, as it is by default ÷ rebuild alone",
            Goal::Shown,
            &pairs,
            twin.clone(),
        )?);
    }
    if bench.wants("G6b-live") {
        let peer = async || live(&bed, count).await;
        let pairs = in_turns("records/s", rounds, peer, async || rebuilt(false).await).await?;
        found.push(Row::new(
            "G6b-live",
            "rebuild from the log ÷ the live runner behind by as much",
            Goal::AtLeast(2.0),
            &pairs,
            twin,
        )?);
    }
    Ok(found)
}

/// The live runner over an empty read model: records a second, from its first
/// commit to its last.
async fn live(bed: &Bed, count: usize) -> anyhow::Result<f64> {
    let schema = schema_name(DecisionsProjection::NAME);
    drop_schema(&bed.pool, &schema).await?;
    let projection = DecisionsProjection::new(bed.registry.clone());
    migrate_projection(&projection, &bed.pool).await?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_projection(projection, bed.deps(), stop.clone()));
    let begun = Instant::now();
    let mut first: Option<(Instant, i64)> = None;
    let rate = loop {
        tokio::time::sleep(LOOK).await;
        let at = Checkpoints::positions(&bed.pool, &schema).await?;
        let done: i64 = at.iter().map(|claim| claim.next_offset).sum();
        if done > 0 {
            let (since, from) = *first.get_or_insert_with(|| (Instant::now(), done));
            if done >= i64::try_from(count)? {
                break (done - from) as f64 / since.elapsed().as_secs_f64().max(1e-9);
            }
        }
        ensure!(begun.elapsed() < PATIENCE, "only {done} of {count} records");
    };
    stop.cancel();
    running.await??;
    Ok(rate)
}

async fn copied_out(bed: &Bed) -> anyhow::Result<Vec<Bytes>> {
    let client = bed.pool.get().await?;
    let statement = format!(
        "COPY {}.decision TO STDOUT (FORMAT binary)",
        schema_name(DecisionsProjection::NAME)
    );
    let parts: Vec<Bytes> = client.copy_out(&statement).await?.try_collect().await?;
    Ok(parts
        .concat()
        .chunks(512 * 1024)
        .map(Bytes::copy_from_slice)
        .collect())
}

async fn copied_in(bed: &Bed, rows: &[Bytes], count: usize) -> anyhow::Result<f64> {
    let projection = DecisionsProjection::new(bed.registry.clone());
    drop_schema(&bed.pool, "peer").await?;
    migrate(&bed.pool, "peer", &projection.migrations()).await?;
    let started = Instant::now();
    let mut client = bed.pool.get().await?;
    let tx = client.transaction().await?;
    use_schema(&tx, "peer").await?;
    {
        let mut sink = std::pin::pin!(
            tx.copy_in::<_, Bytes>("COPY decision FROM STDIN (FORMAT binary)")
                .await?
        );
        for part in rows {
            sink.feed(part.clone()).await?;
        }
        ensure!(
            sink.as_mut().finish().await? == count as u64,
            "rows are missing"
        );
    }
    tx.commit().await?;
    Ok(rate(count, started.elapsed()))
}
