use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use platform_log::{Admin, Record};
use platform_postgres::{
    Checkpoints, Claimed, ExclusiveLock, Phase, ShadowState, begin_shadow, drop_schema,
    lock_exclusive, mark_shadow, migrate, schema_name, shadow_schema, shadow_state,
};
use tracing::{info, warn};

use super::check::compare;
use super::options::NEXT;
use super::places::{Places, between, covers, from_json, log_ends, resolve, to_json, to_offsets};
use super::source::Source;
use super::{
    Checked, RebuildOptions, Rebuilt, Stage, Until, checkpoints, failed, lock_shadow, next_offsets,
    stopped, wanted,
};
use crate::dead_letter::GivenUp;
use crate::digest::store_digest_of;
use crate::error::chain;
use crate::intake::{guarded_async, projected};
use crate::store::{ShadowStore, offsets};
use crate::{Deps, Error, Failure};

const LAST_STRETCH: u64 = 1_000;
const ROUNDS: usize = 30;
/// Before a write that failed for now is tried again; doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Builds a read model outside Postgres anew from the log, beside the live one,
/// and puts it in its place, or keeps it under a name. Otherwise as
/// [`super::rebuild_projection`].
///
/// # Errors
/// When the log, Postgres or the store fails, or another rebuild is under way.
pub async fn rebuild_store<P: ShadowStore>(
    projection: &P,
    deps: &Deps,
    options: &RebuildOptions,
) -> Result<Rebuilt, Error> {
    let rebuilt = match Job::begin(projection, deps, options).await {
        Ok(job) => job.run().await,
        Err(failure) => Err(failure),
    };
    rebuilt.map_err(|failure| failed(P::NAME, failure))
}

struct Job<'a, P> {
    projection: &'a P,
    shadow: P,
    deps: &'a Deps,
    options: &'a RebuildOptions,
    admin: Admin,
    live: String,
    /// Says what the shadow is to become, and lets one rebuild at it.
    schema: String,
    checkpoints: Checkpoints,
    _lock: ExclusiveLock,
    claims: Vec<Claimed>,
    ends: Places,
    resumed_at: u64,
    records: u64,
    given_up: GivenUp,
}

impl<'a, P: ShadowStore> Job<'a, P> {
    async fn begin(
        projection: &'a P,
        deps: &'a Deps,
        options: &'a RebuildOptions,
    ) -> Result<Self, Failure> {
        let live = schema_name(P::NAME);
        let name = options.keep_as.as_deref().unwrap_or(NEXT);
        let schema = shadow_schema(&live, name);
        let lock = lock_shadow(&deps.pool, &schema).await?;
        let admin = Admin::new(&deps.settings.kafka).map_err(Failure::transient)?;
        let log = log_ends(&admin, &projection.topics()).await?;
        let until = options.until.to_string();
        let found = shadow_state(&deps.pool, &schema)
            .await?
            .filter(|state| !options.fresh && state.fingerprint == P::NAME && state.until == until);
        let mut job = Self {
            projection,
            shadow: projection.beside(name),
            deps,
            options,
            admin,
            live,
            checkpoints: checkpoints(&schema),
            schema,
            _lock: lock,
            claims: Vec::new(),
            ends: log.clone(),
            resumed_at: 0,
            records: 0,
            given_up: GivenUp::by(P::GIVEN_UP_BY, &deps.settings.kafka),
        };
        if let Some(state) = found {
            if options.until != Until::End {
                job.ends = from_json(&state.ends).unwrap_or_else(|| log.clone());
            }
            job.claim().await?;
            let reached = next_offsets(&job.claims);
            if covers(&log, &reached) {
                job.resumed_at = between(&Places::new(), &reached);
                info!(
                    projection.name = P::NAME,
                    shadow = name,
                    records = job.resumed_at,
                    "rebuild goes on"
                );
                return Ok(job);
            }
            warn!(
                projection.name = P::NAME,
                "the log was cut since, so the rebuild begins anew"
            );
        }
        job.ends = resolve(&options.until, &log, &deps.settings.kafka).await?;
        job.shadow.clear().await?;
        let state = ShadowState {
            fingerprint: P::NAME.to_owned(),
            until,
            ends: to_json(&job.ends),
            phase: Phase::Keyed,
        };
        begin_shadow(&deps.pool, &job.schema, &[], &state, &[]).await?;
        job.claim().await?;
        info!(projection.name = P::NAME, shadow = name, "rebuild begins");
        Ok(job)
    }

    /// Becomes the owner; where to read on is what the store itself says.
    async fn claim(&mut self) -> Result<(), Failure> {
        self.claims = self
            .checkpoints
            .claim_locked(&self.deps.pool, &wanted(&self.ends))
            .await?;
        let there = places_of(&self.shadow, self.partitions()).await?;
        for claim in &mut self.claims {
            let place = (claim.topic.clone(), claim.partition);
            claim.next_offset = there.get(&place).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn partitions(&self) -> u32 {
        let last = self.ends.keys().map(|(_, partition)| *partition).max();
        last.map_or(0, |last| last.unsigned_abs() + 1)
    }

    async fn run(mut self) -> Result<Rebuilt, Failure> {
        let ends = self.ends.clone();
        self.fill(&ends, Stage::Replaying).await?;
        let (kept_out, checked) = if self.options.keep_as.is_some() {
            self.keep().await?;
            (None, Checked::Skipped)
        } else {
            let (kept_out, checked) = self.swap().await?;
            (Some(kept_out), checked)
        };
        info!(
            projection.name = P::NAME,
            records = self.records,
            "rebuild finished"
        );
        Ok(Rebuilt {
            records: self.records,
            resumed_at: self.resumed_at,
            kept_out,
            offsets: to_offsets(&next_offsets(&self.claims)),
            checked,
        })
    }

    /// Notes beside the shadow that it holds all it is to hold.
    async fn keep(&self) -> Result<(), Failure> {
        self.note_place().await?;
        let client = self.deps.pool.get().await?;
        mark_shadow(&**client, &self.schema, Phase::Whole).await?;
        Ok(())
    }

    /// Notes in Postgres how far the shadow has come, for whoever lists it. The
    /// next rebuild asks the store itself.
    async fn note_place(&self) -> Result<(), Failure> {
        let mut client = self.deps.pool.get().await?;
        let tx = client.transaction().await?;
        self.checkpoints.advance(&tx, &self.claims).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn swap(&mut self) -> Result<(Duration, Checked), Failure> {
        let topics = self.projection.topics();
        let to_the_end = self.options.until == Until::End;
        for _ in 0..ROUNDS {
            if !to_the_end {
                break;
            }
            let log = log_ends(&self.admin, &topics).await?;
            if between(&next_offsets(&self.claims), &log) <= LAST_STRETCH {
                break;
            }
            self.fill(&log, Stage::CatchingUp).await?;
        }
        self.options.progress.tell(Stage::Swapping, 0, 0);
        migrate(&self.deps.pool, &self.live, &[]).await?;
        let lock = lock_exclusive(&self.deps.pool, &self.live).await?;
        let begun = Instant::now();
        let owner = checkpoints(&self.live);
        let claims = owner
            .claim_locked(&self.deps.pool, &wanted(&self.ends))
            .await?;
        let checked = match (self.options.check, to_the_end) {
            (false, _) => Checked::Skipped,
            (true, true) => self.check().await?,
            (true, false) => Checked::NotComparable("what is live is of another time".to_owned()),
        };
        if to_the_end {
            let log = log_ends(&self.admin, &topics).await?;
            self.fill(&log, Stage::Swapping).await?;
        }
        // Somebody else may have taken the live one over while the lock was lost.
        owner.verify(&self.deps.pool, &claims).await?;
        let mut generations: BTreeMap<i32, i64> = BTreeMap::new();
        for claim in &claims {
            let known = generations.entry(claim.partition).or_default();
            *known = (*known).max(claim.generation);
        }
        let generations: Vec<(i32, i64)> = generations.into_iter().collect();
        self.projection
            .replace_with(&self.shadow, &generations)
            .await?;
        drop(lock);
        let kept_out = begun.elapsed();
        drop_schema(&self.deps.pool, &self.schema).await?;
        Ok((kept_out, checked))
    }

    /// Compares with the live one, which stands still now.
    async fn check(&mut self) -> Result<Checked, Failure> {
        let there = match places_of(self.projection, self.partitions()).await {
            Ok(there) => there,
            Err(failure) => return Ok(Checked::NotComparable(chain(&failure))),
        };
        let log = log_ends(&self.admin, &self.projection.topics()).await?;
        if !covers(&log, &there) || !covers(&there, &next_offsets(&self.claims)) {
            return Ok(Checked::NotComparable(
                "the live one has not come as far".to_owned(),
            ));
        }
        self.fill(&there, Stage::Swapping).await?;
        let (live, built) = tokio::join!(
            store_digest_of(self.projection, self.partitions()),
            store_digest_of(&self.shadow, self.partitions()),
        );
        let live = match live {
            Ok(live) => live,
            Err(error) => return Ok(Checked::NotComparable(chain(&error))),
        };
        let built = built.map_err(Failure::transient)?;
        Ok(compare(&live, &built))
    }

    /// Reads to `ends`; each partition's share is applied with its offsets.
    async fn fill(&mut self, ends: &Places, stage: Stage) -> Result<(), Failure> {
        let from = next_offsets(&self.claims);
        let total = between(&from, ends);
        if total == 0 {
            return Ok(());
        }
        let mut source = Source::new(&self.deps.settings.kafka, &from, ends);
        let mut done = 0;
        self.options.progress.tell(stage, 0, total);
        loop {
            let records = source.next().await?;
            if records.is_empty() {
                return Ok(());
            }
            let read = records.len() as u64;
            self.write(records).await?;
            self.note_place().await?;
            done += read;
            self.records += read;
            self.options.progress.tell(stage, done.min(total), total);
            if self.options.stop.is_cancelled() {
                return Err(stopped());
            }
        }
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<(), Failure> {
        let mut shares: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for record in records {
            shares.entry(record.partition).or_default().push(record);
        }
        for (partition, share) in shares {
            let Some(last) = share.last() else { continue };
            let upto = [(last.topic.clone(), last.offset + 1)];
            let generation = self.generation(partition);
            let mut wait = FIRST_WAIT;
            loop {
                let mut changes = Vec::with_capacity(share.len());
                for record in &share {
                    changes.append(&mut self.changes_of(record).await?);
                }
                let applying = self.shadow.apply(partition, changes, &upto, generation);
                match guarded_async(applying).await {
                    Ok(()) => {}
                    // A store may be slow for a moment; to write again does no harm.
                    Err(Failure::Transient(_)) if wait <= LONGEST_WAIT => {
                        tokio::time::sleep(wait).await;
                        wait *= 2;
                        continue;
                    }
                    Err(failure @ Failure::Transient(_)) => return Err(failure),
                    Err(_) => self.write_one_by_one(partition, &share, generation).await?,
                }
                break;
            }
            let [(topic, next_offset)] = upto;
            for claim in &mut self.claims {
                if claim.partition == partition && claim.topic == topic {
                    claim.next_offset = next_offset;
                }
            }
        }
        Ok(())
    }

    async fn write_one_by_one(
        &self,
        partition: i32,
        share: &[Record],
        generation: i64,
    ) -> Result<(), Failure> {
        for record in share {
            let behind = [(record.topic.clone(), record.offset + 1)];
            let changes = self.changes_of(record).await?;
            let applying = self.shadow.apply(partition, changes, &behind, generation);
            match guarded_async(applying).await {
                Ok(()) => {}
                Err(failure) => {
                    self.given_up.pass_over(&record.position(), failure).await?;
                    self.shadow
                        .apply(partition, Vec::new(), &behind, generation)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// None of what can never be read.
    async fn changes_of(&self, record: &Record) -> Result<Vec<P::Change>, Failure> {
        let events = match guarded_async(self.shadow.decode(record)).await {
            Ok(events) => events,
            Err(failure) => {
                self.given_up.pass_over(&record.position(), failure).await?;
                return Ok(Vec::new());
            }
        };
        let changes = projected(record, &events, |recorded, position| {
            self.shadow.project(recorded, position)
        });
        Ok(changes.unwrap_or_default())
    }

    fn generation(&self, partition: i32) -> i64 {
        self.claims
            .iter()
            .filter(|claim| claim.partition == partition)
            .map(|claim| claim.generation)
            .max()
            .unwrap_or(1)
    }
}

async fn places_of<P: ShadowStore>(store: &P, partitions: u32) -> Result<Places, Failure> {
    let mut places = Places::new();
    for (partition, offsets) in offsets(store, partitions).await? {
        for (topic, next) in offsets {
            places.insert((topic, partition), next);
        }
    }
    Ok(places)
}
