//! The cache in Redis against what `redis-benchmark` gets out of the same server.

use anyhow::{Context as _, ensure};
use platform_log::Position;
use platform_projector::{StoreProjection, store_digest};
use projections_context_cache::ContextCacheProjection;
use tokio::process::Command;

use crate::Bench;
use crate::fixtures;
use crate::harness::{Goal, Row, in_turns, timed};

const BATCH: usize = 1_000;
/// What a pipeline would send for one shared context: two `SET`, and `ZADD`,
/// `ZREMRANGEBYRANK` and `PEXPIRE` for the list of its subject.
const COMMANDS: usize = 5;

/// G2e.
pub(crate) async fn cache(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let count = bench.size.pick(2_000, 20_000, 200_000);
    let bed = bench.servers.bed("cache").await?;
    let address = bench.servers.endpoints().redis_url.clone();
    empty(&address).await?;
    let cache = ContextCacheProjection::new(bed.redis().await?, bed.registry.clone());
    let changes: Vec<_> = (0..count)
        .flat_map(|n| {
            let position = Position {
                topic: "mesh.contexts".to_owned(),
                partition: 0,
                offset: n as i64,
            };
            cache.project(&fixtures::context(n), &position)
        })
        .collect();
    let fill = async || {
        // Each context is a new one each time.
        cache.clear().await?;
        cache.positions(0).await?;
        let parts: Vec<(i64, Vec<_>)> = changes
            .chunks(BATCH)
            .scan(0, |next, part| {
                *next += part.len() as i64;
                Some((*next, part.to_vec()))
            })
            .collect();
        timed(COMMANDS * count, async {
            for (next, part) in parts {
                let upto = [("mesh.contexts".to_owned(), next)];
                cache.apply(0, part, &upto, 1).await?;
            }
            Ok(())
        })
        .await
    };
    // The two values of a context, averaged.
    let bytes = fixtures::ticket(0).len() / 2;
    let calls = COMMANDS * count;
    let peer = async || benchmark(&address, calls, bytes).await;
    let pairs = in_turns("commands/s", bench.rounds, peer, fill).await?;

    let before = store_digest(&cache).await?;
    let upto = [("mesh.contexts".to_owned(), count as i64)];
    cache
        .apply(0, changes[count - BATCH.min(count)..].to_vec(), &upto, 1)
        .await?;
    ensure!(
        before == store_digest(&cache).await?,
        "a repeat changed what Redis holds"
    );
    let positions = cache.positions(0).await?;
    ensure!(
        positions[0].1 == count as i64,
        "the offset is not at the end"
    );
    let row = Row::new(
        "G2e",
        "context cache with its offset, in guarded scripts ÷ redis-benchmark -P 64, SET of half the size",
        Goal::AtLeast(0.6),
        &pairs,
        format!("{count} contexts; a repeat leaves the digest as it is, offset at {count}"),
    )?;
    Ok(vec![row])
}

/// The rows before left keys by the million, and to clear the cache all of them are
/// walked through.
async fn empty(url: &str) -> anyhow::Result<()> {
    let flushed = Command::new("redis-cli")
        .args(["-u", url, "flushall"])
        .output()
        .await
        .context("redis-cli cannot be started (Debian: redis-tools)")?;
    ensure!(flushed.status.success(), "redis cannot be emptied");
    Ok(())
}

async fn benchmark(url: &str, calls: usize, bytes: usize) -> anyhow::Result<f64> {
    let port = url.rsplit(':').next().context("no port")?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let output = Command::new("redis-benchmark")
        .args([
            "-p", &port, "-P", "64", "-c", "50", "--csv", "-r", "1000000",
        ])
        .args([
            "-t",
            "set",
            "-n",
            &calls.to_string(),
            "-d",
            &bytes.to_string(),
        ])
        .output()
        .await
        .context("redis-benchmark cannot be started (Debian: redis-tools)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.starts_with("\"SET\""))
        .with_context(|| format!("redis-benchmark said {text}"))?;
    let rate = line.split('"').nth(3).context("no rate")?;
    Ok(rate.parse()?)
}
