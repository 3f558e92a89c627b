use std::sync::Arc;
use std::time::{Duration, Instant};

use platform_log::Admin;
use platform_postgres::{
    Checkpoints, Claimed, ExclusiveLock, Phase, ShadowState, begin_shadow, drop_retired,
    drop_schema, lock_exclusive, mark_shadow, restore_keys, schema_name, shadow_schema,
    shadow_state, swap_in,
};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::check::compare;
use super::fill::Filler;
use super::options::NEXT;
use super::places::{
    Places, between, covers, from_json, from_offsets, log_ends, resolve, to_json, to_offsets,
};
use super::{
    Checked, RebuildOptions, Rebuilt, Stage, Until, checkpoints, failed, lock_shadow, next_offsets,
    wanted,
};
use crate::dead_letter::{GivenUp, with_redrives};
use crate::digest::{Digested, digest_of, digest_of_schema};
use crate::error::chain;
use crate::pg::migrate_projection;
use crate::{Deps, Error, Failure, PgProjection};

/// How a shadow is filled; one that was begun in another way is begun anew.
const FILLED: &str = "keys are made side by side";
/// So few records are left to the last stretch, in which the live runner is kept out.
const LAST_STRETCH: u64 = 1_000;
/// A log that grows faster than it is read is not waited for for ever.
const ROUNDS: usize = 30;
/// How long a live read model that does not move is waited for.
const STANDSTILL: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Builds a Postgres read model anew from the log, beside the live one, and
/// swaps it in, or keeps it under a name. The live read model is served and
/// written to all the while, but for the last stretch, in which its runner waits.
///
/// What an interrupted rebuild has read is not read again. Poison records are
/// passed over: they went to the dead letters when they were first met.
///
/// # Errors
/// When the log or Postgres fails, or another rebuild is under way. The live
/// read model is as it was, and the next rebuild goes on with the shadow.
pub async fn rebuild_projection<P: PgProjection>(
    projection: Arc<P>,
    deps: &Deps,
    options: &RebuildOptions,
) -> Result<Rebuilt, Error> {
    let job = Job::begin(projection, deps, options);
    let rebuilt = match job.await {
        Ok(job) => job.run().await,
        Err(failure) => Err(failure),
    };
    rebuilt.map_err(|failure| failed(P::NAME, failure))
}

struct Job<'a, P> {
    projection: Arc<P>,
    deps: &'a Deps,
    options: &'a RebuildOptions,
    admin: Admin,
    live: String,
    schema: String,
    checkpoints: Checkpoints,
    _lock: ExclusiveLock,
    phase: Phase,
    claims: Vec<Claimed>,
    ends: Places,
    resumed_at: u64,
    records: u64,
}

impl<'a, P: PgProjection> Job<'a, P> {
    /// Finds or creates the shadow and becomes its owner.
    async fn begin(
        projection: Arc<P>,
        deps: &'a Deps,
        options: &'a RebuildOptions,
    ) -> Result<Self, Failure> {
        let live = schema_name(P::NAME);
        let schema = shadow_schema(&live, options.keep_as.as_deref().unwrap_or(NEXT));
        let lock = lock_shadow(&deps.pool, &schema).await?;
        let admin = Admin::new(&deps.settings.kafka).map_err(Failure::transient)?;
        let log = log_ends(&admin, &with_redrives(projection.topics())).await?;
        let fingerprint = fingerprint(&*projection);
        let until = options.until.to_string();
        let found = shadow_state(&deps.pool, &schema).await?.filter(|state| {
            !options.fresh && state.fingerprint == fingerprint && state.until == until
        });
        let mut job = Self {
            checkpoints: checkpoints(&schema),
            projection,
            deps,
            options,
            admin,
            live,
            schema,
            _lock: lock,
            phase: Phase::Filling,
            claims: Vec::new(),
            ends: log.clone(),
            resumed_at: 0,
            records: 0,
        };
        if let Some(state) = found {
            job.phase = state.phase;
            if options.until != Until::End {
                job.ends = from_json(&state.ends).unwrap_or_else(|| log.clone());
            }
            job.claim().await?;
            if covers(&log, &next_offsets(&job.claims)) {
                job.resumed_at = between(&Places::new(), &next_offsets(&job.claims));
                info!(projection.name = P::NAME, db.namespace = %job.schema, records = job.resumed_at, "rebuild goes on");
                return Ok(job);
            }
            warn!(
                projection.name = P::NAME,
                "the log was cut since, so the rebuild begins anew"
            );
        }
        job.ends = resolve(&options.until, &log, &deps.settings.kafka).await?;
        job.create(Phase::Filling).await?;
        info!(projection.name = P::NAME, db.namespace = %job.schema, "rebuild begins");
        Ok(job)
    }

    async fn create(&mut self, phase: Phase) -> Result<(), Failure> {
        let state = ShadowState {
            fingerprint: fingerprint(&*self.projection),
            until: self.options.until.to_string(),
            ends: to_json(&self.ends),
            phase,
        };
        begin_shadow(
            &self.deps.pool,
            &self.schema,
            &self.projection.migrations(),
            &state,
            self.projection.written_once(),
        )
        .await?;
        self.phase = phase;
        self.claim().await
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        self.claims = self
            .checkpoints
            .claim_locked(&self.deps.pool, &wanted(&self.ends))
            .await?;
        Ok(())
    }

    async fn run(mut self) -> Result<Rebuilt, Failure> {
        let ends = self.ends.clone();
        if self.phase == Phase::Filling {
            self.fill(&ends, Stage::Replaying).await?;
            let client = self.deps.pool.get().await?;
            mark_shadow(&**client, &self.schema, Phase::Keying).await?;
            self.phase = Phase::Keying;
        }
        if self.phase == Phase::Keying {
            self.make_keys().await?;
        }
        // What was appended since somebody else filled it, or all of it once more, with
        // the keys in place.
        self.fill(&ends, Stage::Replaying).await?;
        let swaps = self.options.keep_as.is_none();
        let checked = match (self.options.check && swaps, &self.options.until) {
            (false, _) => Checked::Skipped,
            (true, Until::End) => self.check().await?,
            (true, _) => Checked::NotComparable("what is live is of another time".to_owned()),
        };
        let kept_out = if swaps {
            Some(self.swap().await?)
        } else {
            let client = self.deps.pool.get().await?;
            mark_shadow(&**client, &self.schema, Phase::Whole).await?;
            None
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

    async fn fill(&mut self, ends: &Places, stage: Stage) -> Result<(), Failure> {
        let filler = Filler {
            projection: &self.projection,
            deps: self.deps,
            checkpoints: &self.checkpoints,
            progress: &self.options.progress,
            stop: &self.options.stop,
            given_up: Arc::new(GivenUp::by(P::NAME, &self.deps.settings.kafka)),
            keyed: self.phase != Phase::Filling,
        };
        self.records += filler.fill(&mut self.claims, ends, stage).await?;
        Ok(())
    }

    async fn make_keys(&mut self) -> Result<(), Failure> {
        self.options.progress.tell(Stage::Indexing, 0, 0);
        match restore_keys(&self.deps.pool, &self.schema).await {
            Ok(0) => self.phase = Phase::Keyed,
            Ok(repeated) => {
                info!(
                    projection.name = P::NAME,
                    rows = repeated,
                    "the log repeats itself: the first of each was kept"
                );
                self.phase = Phase::Keyed;
            }
            // One row cannot be indexed. With the keys in place that row is met
            // by itself, as the live runner met it.
            Err(error) if error.is_data_error() => {
                warn!(projection.name = P::NAME, error = %chain(&error), "begins again with the keys in place");
                self.create(Phase::Keyed).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Compares with the live one at a checkpoint of the live one, which the
    /// shadow is brought to.
    async fn check(&mut self) -> Result<Checked, Failure> {
        self.options.progress.tell(Stage::Comparing, 0, 0);
        if !self.live_comes_as_far().await? {
            return Ok(Checked::NotComparable(
                "the live one is not there, or has not come as far".to_owned(),
            ));
        }
        // Both at once. If the live one has gone on, the shadow is read again.
        let live = digest_of(&*self.projection, &self.deps.pool);
        let (live, built) = tokio::join!(live, self.digest_of_shadow());
        let live = match live {
            Ok(live) => live,
            Err(error) => return Ok(Checked::NotComparable(chain(&error))),
        };
        let there = from_offsets(&live.offsets);
        let log = log_ends(&self.admin, &with_redrives(self.projection.topics())).await?;
        if !covers(&log, &there) {
            return Ok(Checked::NotComparable(
                "the live one speaks of another log".to_owned(),
            ));
        }
        self.fill(&there, Stage::CatchingUp).await?;
        let built = match built? {
            built if built.offsets == live.offsets => built,
            _ => self.digest_of_shadow().await?,
        };
        let checked = compare(&live, &built);
        if let Checked::Differs { partitions, .. } = &checked {
            warn!(
                projection.name = P::NAME,
                ?partitions,
                "the live read model differs from what the log says"
            );
        }
        Ok(checked)
    }

    async fn digest_of_shadow(&self) -> Result<Digested, Failure> {
        digest_of_schema(&*self.projection, &self.deps.pool, &self.schema)
            .await
            .map_err(Failure::transient)
    }

    /// Waits for the live runner as long as it moves.
    async fn live_comes_as_far(&self) -> Result<bool, Failure> {
        let here = next_offsets(&self.claims);
        let mut last = Places::new();
        let mut moved_at = Instant::now();
        loop {
            let there = match Checkpoints::positions(&self.deps.pool, &self.live).await {
                Ok(claims) => next_offsets(&claims),
                Err(error) if error.is_schema_missing() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            // A runner claims the partitions of each topic in its own time. Until it
            // has them all, its digest cannot tell where rows belong.
            let claimed = here.keys().all(|place| there.contains_key(place));
            if claimed && covers(&there, &here) {
                return Ok(true);
            }
            if there != last {
                last = there;
                moved_at = Instant::now();
            } else if moved_at.elapsed() > STANDSTILL {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Puts the shadow in the place of the live one; answers for how long the
    /// live runner was kept out.
    async fn swap(&mut self) -> Result<Duration, Failure> {
        let topics = with_redrives(self.projection.topics());
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
        let pool = &self.deps.pool;
        if !drop_retired(pool, &self.live).await? {
            return Err(Failure::transient(
                "somebody still reads what an earlier rebuild replaced",
            ));
        }
        // There may be none, or one of an older release: it must have checkpoints.
        if let Err(error) = migrate_projection(&*self.projection, pool).await {
            warn!(projection.name = P::NAME, error = %chain(&error), "the live schema does not migrate and is dropped");
            drop_schema(pool, &self.live).await?;
            migrate_projection(&*self.projection, pool).await?;
        }
        let lock = lock_exclusive(pool, &self.live).await?;
        let begun = Instant::now();
        // The live runner is fenced by this, so that its checkpoints stand still.
        let owner = checkpoints(&self.live);
        let claims = owner.claim_locked(pool, &wanted(&self.ends)).await?;
        if to_the_end {
            let log = log_ends(&self.admin, &topics).await?;
            self.fill(&log, Stage::Swapping).await?;
        }
        swap_in(&self.deps.pool, &self.schema, &owner, &claims).await?;
        drop(lock);
        let kept_out = begun.elapsed();
        self.options.progress.tell(Stage::CleaningUp, 0, 0);
        if !drop_retired(&self.deps.pool, &self.live).await? {
            info!(
                projection.name = P::NAME,
                "somebody still reads what was replaced, so it is dropped another time"
            );
        }
        Ok(kept_out)
    }
}

/// Of all that decides what a shadow holds, but for the code.
fn fingerprint<P: PgProjection>(projection: &P) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    for step in projection.migrations() {
        add(&step.version.to_string());
        add(step.name);
        add(step.sql);
    }
    for topic in projection.topics() {
        add(topic);
    }
    for table in projection.written_once() {
        add(table);
    }
    add(projection.digest_query());
    add(FILLED);
    hex::encode(hash.finalize())
}
