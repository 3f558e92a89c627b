use platform_config::Kafka;
use platform_log::Admin;
use platform_postgres::{
    Checkpoints, Claimed, ExclusiveLock, drop_schema, lock_exclusive, migrate, schema_name,
};
use tracing::info;

use crate::dead_letter::DeadLetters;
use crate::error::chain;
use crate::pg::{migrate_projection, write_batch};
use crate::read::Stretch;
use crate::session::{Batch, Halt, checkpoints};
use crate::store::store_batch;
use crate::{Deps, Error, Failure, PgProjection, StoreProjection};

/// Builds a Postgres read model anew from the log and answers how many records
/// that took. Live runners are kept out meanwhile; they notice that they were
/// fenced, wait, and go on behind what was replayed.
///
/// Only what stood on the log when it began is replayed. Poison records are
/// passed over: they went to the dead letters when they were first met.
///
/// # Errors
/// When the log or Postgres fails; the next rebuild starts from the beginning,
/// and so do the live runners in the meantime go on from where this one stopped.
pub async fn rebuild_projection<P: PgProjection>(
    projection: &P,
    deps: &Deps,
) -> Result<u64, Error> {
    rebuild_pg(projection, deps)
        .await
        .map_err(|halt| failed(P::NAME, halt))
}

async fn rebuild_pg<P: PgProjection>(projection: &P, deps: &Deps) -> Result<u64, Halt> {
    let schema = schema_name(P::NAME);
    let _lock: ExclusiveLock = lock_exclusive(&deps.pool, &schema).await?;
    info!(projection.name = P::NAME, "rebuild started");
    drop_schema(&deps.pool, &schema).await?;
    migrate_projection(projection, &deps.pool).await?;
    let checkpoints = checkpoints(P::NAME);
    let dead_letters = DeadLetters::silent(P::NAME);
    let mut replay = Replay::begin(&projection.topics(), deps, &checkpoints).await?;
    let mut records = 0;
    while let Some(batch) = replay.next(&deps.settings.kafka).await? {
        records += batch.records.len() as u64;
        write_batch(projection, &deps.pool, &checkpoints, &dead_letters, batch).await?;
    }
    info!(projection.name = P::NAME, records, "rebuild finished");
    Ok(records)
}

/// Builds a read model outside Postgres anew from the log and answers how many
/// records that took. Otherwise as [`rebuild_projection`].
///
/// # Errors
/// When the log, Postgres or the store fails.
pub async fn rebuild_store<P: StoreProjection>(projection: &P, deps: &Deps) -> Result<u64, Error> {
    rebuild_other(projection, deps)
        .await
        .map_err(|halt| failed(P::NAME, halt))
}

async fn rebuild_other<P: StoreProjection>(projection: &P, deps: &Deps) -> Result<u64, Halt> {
    let schema = schema_name(P::NAME);
    migrate(&deps.pool, &schema, &[]).await?;
    let _lock: ExclusiveLock = lock_exclusive(&deps.pool, &schema).await?;
    info!(projection.name = P::NAME, "rebuild started");
    let checkpoints = checkpoints(P::NAME);
    let dead_letters = DeadLetters::silent(P::NAME);
    // Claimed before anything is cleared: a live runner checks its claim before it writes.
    let mut replay = Replay::begin(&projection.topics(), deps, &checkpoints).await?;
    projection.clear().await?;
    let mut records = 0;
    while let Some(batch) = replay.next(&deps.settings.kafka).await? {
        records += batch.records.len() as u64;
        store_batch(projection, &dead_letters, batch).await?;
    }
    info!(projection.name = P::NAME, records, "rebuild finished");
    Ok(records)
}

fn failed(name: &'static str, halt: Halt) -> Error {
    let source = match halt {
        Halt::Waiting(failure) => failure,
        other => Failure::transient(other.reason()),
    };
    tracing::warn!(projection.name = name, error = %chain(&source), "rebuild failed");
    Error::Rebuild { name, source }
}

/// All topics of a read model from their beginnings, one after another.
struct Replay {
    admin: Admin,
    /// By topic, the last one first; not yet begun.
    waiting: Vec<(&'static str, Vec<Claimed>)>,
    current: Option<(Stretch, Vec<Claimed>)>,
}

impl Replay {
    async fn begin(
        topics: &[&'static str],
        deps: &Deps,
        checkpoints: &Checkpoints,
    ) -> Result<Self, Halt> {
        let admin = Admin::new(&deps.settings.kafka)?;
        let mut wanted = Vec::new();
        for topic in topics {
            for partition in 0..admin.partition_count(topic).await? {
                wanted.push((*topic, partition as i32));
            }
        }
        let claims = checkpoints.claim_locked(&deps.pool, &wanted).await?;
        let waiting = topics
            .iter()
            .rev()
            .map(|topic| {
                let claims = claims
                    .iter()
                    .filter(|claim| claim.topic == *topic)
                    .map(|claim| Claimed {
                        next_offset: 0,
                        ..claim.clone()
                    })
                    .collect();
                (*topic, claims)
            })
            .collect();
        Ok(Self {
            admin,
            waiting,
            current: None,
        })
    }

    async fn next(&mut self, kafka: &Kafka) -> Result<Option<Batch>, Halt> {
        loop {
            let Some((stretch, claims)) = &mut self.current else {
                let Some((topic, claims)) = self.waiting.pop() else {
                    return Ok(None);
                };
                let from = claims
                    .iter()
                    .map(|claim| (claim.partition, claim.next_offset))
                    .collect();
                let stretch = Stretch::open(&self.admin, kafka, topic, from).await?;
                self.current = Some((stretch, claims));
                continue;
            };
            let records = stretch.next().await?;
            if records.is_empty() {
                self.current = None;
                continue;
            }
            for record in &records {
                if let Some(claim) = claims
                    .iter_mut()
                    .find(|claim| claim.partition == record.partition)
                {
                    claim.next_offset = record.offset + 1;
                }
            }
            let upto = claims
                .iter()
                .filter(|claim| {
                    records
                        .iter()
                        .any(|record| record.partition == claim.partition)
                })
                .cloned()
                .collect();
            return Ok(Some(Batch { records, upto }));
        }
    }
}
