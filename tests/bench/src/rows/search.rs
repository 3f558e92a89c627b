//! Nearest neighbours among ten times as many vectors.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use platform_embed::{Embedder as _, HashedNgrams};
use platform_vectors::VectorIndex;

use crate::Bench;
use crate::harness::{Goal, Row, in_turns, quantile};

const NEAREST: usize = 10;
/// So many that a tick of the system here and there is not the 99th percentile.
const QUERIES: usize = 3_000;
/// Texts that are in no index, by which it is seen what a search misses.
const UNKNOWN: usize = 300;

/// S3-search.
pub(crate) async fn search(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let many = bench.size.pick(1_000, 10_000, 200_000);
    let few = many / 10;
    let embedder = HashedNgrams::default();
    let large = tokio::task::spawn_blocking(move || index(many)).await??;
    let small = tokio::task::spawn_blocking(move || index(few)).await??;
    let recalls = [
        recall(&small, few, &embedder)?,
        recall(&large, many, &embedder)?,
    ];
    ensure!(
        recalls.iter().all(|recall| *recall >= 0.99),
        "too many of the nearest were missed: {recalls:?}"
    );
    let queries: Vec<(u64, Vec<f32>)> = (0..QUERIES)
        .map(|n| {
            let key = n * few / QUERIES;
            (key as u64, embedder.embed(&text(key)))
        })
        .collect();
    let p99 = |index: &VectorIndex| {
        let mut seconds = Vec::with_capacity(QUERIES);
        for (key, query) in &queries {
            let started = Instant::now();
            let found = black_box(index.search(query, NEAREST, |_| true)?);
            seconds.push(started.elapsed().as_secs_f64());
            ensure!(
                found
                    .first()
                    .is_some_and(|nearest| nearest.key == *key || nearest.cosine > 0.999),
                "the vector itself was not found"
            );
        }
        anyhow::Ok(quantile(&mut seconds, 0.99) * 1_000.0)
    };
    let pairs = in_turns(
        "ms",
        bench.rounds,
        async || p99(&small),
        async || p99(&large),
    )
    .await?;
    let row = Row::new(
        "S3-search",
        &format!("p99 of a search among {many} vectors ÷ among {few}"),
        Goal::AtMost(2.0),
        &pairs,
        format!(
            "each of {QUERIES} queries finds its own vector first; of the ten nearest to \
             {UNKNOWN} texts that are not there {:.1} % are found, and {:.1} %",
            recalls[1] * 100.0,
            recalls[0] * 100.0
        ),
    )?;
    Ok(vec![row])
}

fn index(count: usize) -> anyhow::Result<VectorIndex> {
    let embedder = HashedNgrams::default();
    let mut index = VectorIndex::new(embedder.dimensions())?;
    for n in 0..count {
        index.add(n as u64, embedder.embed(&text(n)))?;
    }
    index.absorb(count)?;
    Ok(index)
}

/// Which part of the nearest is found, by looking at each of the vectors.
fn recall(index: &VectorIndex, count: usize, embedder: &HashedNgrams) -> anyhow::Result<f64> {
    let mut found = 0;
    for n in 0..UNKNOWN {
        let query = embedder.embed(&text(2_000_000 + 37 * n));
        let exact = index.search_among(&query, NEAREST, 0..count as u64)?;
        let farthest = exact.last().context("nothing is near")?.cosine;
        let near = index.search(&query, NEAREST, |_| true)?;
        found += near.iter().filter(|near| near.cosine >= farthest).count();
    }
    Ok(found as f64 / (UNKNOWN * NEAREST) as f64)
}

/// Tickets about many matters, in words that differ.
fn text(n: usize) -> String {
    const WHAT: [&str; 12] = [
        "invoice", "delivery", "password", "refund", "contract", "printer", "calendar", "backup",
        "license", "account", "shipment", "keyboard",
    ];
    const HOW: [&str; 10] = [
        "was charged twice",
        "never arrived",
        "cannot be reset",
        "is too late",
        "has run out",
        "does not start",
        "shows the wrong day",
        "was lost",
        "is refused",
        "is locked",
    ];
    format!(
        "My {} {}, and the {} {}. It concerns number {} of customer {} in {}.",
        WHAT[n % 12],
        HOW[n / 12 % 10],
        WHAT[n / 120 % 12],
        HOW[n / 1_440 % 10],
        n * 7_919 % 100_003,
        n % 991,
        ["Berlin", "Lagos", "Lima", "Oslo", "Pune", "Quito"][n % 6],
    )
}
