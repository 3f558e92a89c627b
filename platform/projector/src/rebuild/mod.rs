//! Read models built anew from the log, beside the live ones.
//!
//! A rebuild fills a *shadow* (a schema, a key prefix, a directory) while the
//! live read model is served and written to. The shadow has checkpoints of its
//! own, moved with its rows, so that a rebuild that was killed is gone on with.
//! When it has come as far as the live one, the live runner is kept out for the
//! last stretch, shadow and live change places in one step, and the runner goes
//! on from the checkpoints that came with the shadow.
//!
//! Up to an offset or a time, the shadow is kept under a name to be looked at.

mod check;
mod fill;
mod options;
mod pg;
mod places;
mod shadows;
mod source;
mod store;

pub use options::{
    Checked, Progress, ProgressSink, RebuildOptions, Rebuilt, Stage, Until, shadow_name,
};
pub use pg::rebuild_projection;
pub use shadows::{Shadow, drop_shadow, drop_store_shadow, list};
pub use store::rebuild_store;

use std::time::{Duration, Instant};

use platform_postgres::{Checkpoints, Claimed, ExclusiveLock, Pool, try_lock_exclusive};

use crate::Failure;
use crate::error::chain;

/// Checkpoints on behalf of one rebuild.
fn checkpoints(schema: &str) -> Checkpoints {
    let owner = format!("rebuild/{}/{}", std::process::id(), uuid::Uuid::new_v4());
    Checkpoints::new(schema, &owner)
}

fn failed(name: &'static str, source: Failure) -> crate::Error {
    tracing::warn!(projection.name = name, error = %chain(&source), "rebuild failed");
    crate::Error::Rebuild { name, source }
}

/// How long a lock is waited for that whoever was killed, or has just ended, may
/// still seem to hold: Postgres takes a moment to see that a connection is gone.
const PARTING: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The right to build the shadow `schema`.
///
/// # Errors
/// When somebody else builds a shadow of the same name.
async fn lock_shadow(pool: &Pool, schema: &str) -> Result<ExclusiveLock, Failure> {
    let begun = Instant::now();
    loop {
        if let Some(lock) = try_lock_exclusive(pool, schema).await? {
            return Ok(lock);
        }
        if begun.elapsed() > PARTING {
            let busy = format!("another rebuild of {schema} is under way");
            return Err(Failure::transient(busy));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn stopped() -> Failure {
    Failure::transient("it was told to stop; the next one goes on from there")
}

/// All topic partitions, to be claimed.
fn wanted(places: &places::Places) -> Vec<(&str, i32)> {
    places
        .keys()
        .map(|(topic, partition)| (topic.as_str(), *partition))
        .collect()
}

fn next_offsets(claims: &[Claimed]) -> places::Places {
    claims
        .iter()
        .map(|claim| ((claim.topic.clone(), claim.partition), claim.next_offset))
        .collect()
}
