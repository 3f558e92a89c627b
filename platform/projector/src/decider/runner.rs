use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{Recorded, Timestamp};
use platform_log::{Outgoing, Record};
use platform_postgres::{Claimed, Migration, Pool, migrate, schema_name};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::batch::{Decided, Draft};
use super::states::{self, States};
use super::{Process, StateOf, intent};
use crate::dead_letter::{DeadLetters, Taken, with_redrives};
use crate::error::chain;
use crate::guard::{Guard, stands};
use crate::intake::{Intake, Reads, guarded_async};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, checkpoints, group};
use crate::world::{Append, Clock, Log, Real, StateStore, World, settle, within};
use crate::{Deps, Error, Failure};

const BATCH: usize = 500;
const DEADLINE: Duration = Duration::from_secs(60);
/// How many timers are dealt with at once.
const DUE: i64 = 200;
/// When a timer that led to nothing is looked at again.
const TIMER_AGAIN_MS: i64 = 60_000;
/// After a takeover timers wait until no input has come for this long,
const QUIET: Duration = Duration::from_secs(1);
/// but no longer than this.
const CATCHING_UP: Duration = Duration::from_secs(30);
/// The runner's own migrations come first; those of a process are numbered behind.
const OWN_MIGRATIONS: u32 = 1_000;

/// Runs a process until `shutdown`.
///
/// # Errors
/// Only for what no waiting cures, such as a consumer that cannot be built.
pub async fn run_process<P: Process>(
    process: P,
    deps: Deps,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let tick = Duration::from_millis(deps.settings.workflow.tick_ms.clamp(10, 1_000));
    let world = Real::new(&deps, checkpoints(P::NAME), all_migrations::<P>())?;
    run_process_in(world, process, tick, &shutdown).await
}

/// As [`run_process`], in any world.
pub(crate) async fn run_process_in<W: World<Store: StateStore>, P: Process>(
    world: W,
    process: P,
    tick: Duration,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let options = SessionOptions {
        name: P::NAME,
        group: group(P::NAME),
        inputs: with_redrives(process.inputs()),
        own: Some(process.state_topic()),
        tick,
    };
    let mut topics = process.inputs();
    topics.push(process.state_topic());
    let now = world.clock().ticks();
    let role = ProcessRole {
        dead_letters: DeadLetters::new(&world, P::NAME, &topics),
        process: Arc::new(process),
        own: BTreeMap::new(),
        careful: false,
        tick,
        timers_at: now,
        busy_at: now,
        taken_over_at: now,
        world: world.clone(),
    };
    Session::join_and_run(options, world, role, shutdown).await
}

/// Creates or updates the schema of a process.
///
/// # Errors
/// When Postgres fails or a migration does.
pub async fn migrate_process<P: Process>(pool: &Pool) -> Result<(), platform_postgres::Error> {
    migrate(pool, &schema_name(P::NAME), &all_migrations::<P>()).await
}

fn all_migrations<P: Process>() -> Vec<Migration> {
    [states::MIGRATION, states::INTENT]
        .into_iter()
        .chain(P::migrations().into_iter().map(|step| Migration {
            version: step.version + OWN_MIGRATIONS,
            ..step
        }))
        .collect()
}

pub(super) struct ProcessRole<W: World, P> {
    pub(super) process: Arc<P>,
    pub(super) world: W,
    pub(super) dead_letters: DeadLetters<W::Log>,
    /// The state topic, by partition: `next_offset` is where our next event goes.
    pub(super) own: BTreeMap<i32, Claimed>,
    /// One input at a time, after the broker refused something in a batch.
    careful: bool,
    tick: Duration,
    timers_at: Duration,
    /// When input was last seen, and when a partition was last taken over.
    busy_at: Duration,
    taken_over_at: Duration,
}

impl<W: World<Store: StateStore>, P: Process> Role for ProcessRole<W, P> {
    async fn take_over(&mut self, claims: &[Claimed]) -> Result<Vec<Claimed>, Halt> {
        let state_topic = self.process.state_topic();
        let (own, inputs): (Vec<Claimed>, Vec<Claimed>) = claims
            .iter()
            .cloned()
            .partition(|claim| claim.topic == state_topic);
        if let Some(input) = inputs
            .iter()
            .find(|input| !own.iter().any(|own| own.partition == input.partition))
        {
            return Err(Halt::transient(format!(
                "{state_topic} has no partition {}, which {} has",
                input.partition, input.topic
            )));
        }
        for claim in own {
            let partition = claim.partition;
            self.recover(claim).await?;
            self.process.owned(partition);
        }
        self.busy_at = self.ticks();
        self.taken_over_at = self.busy_at;
        Ok(inputs)
    }

    async fn handle(&mut self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        self.busy_at = self.ticks();
        if !self.careful {
            return self.round(batch).await;
        }
        // One input at a time, so that the one the broker refuses is found.
        let mut committed = Vec::new();
        for record in batch.records {
            let upto = batch
                .upto
                .iter()
                .filter(|claim| claim.partition == record.partition && claim.topic == record.topic)
                .map(|claim| Claimed {
                    next_offset: record.offset + 1,
                    ..claim.clone()
                })
                .collect();
            let single = Batch {
                records: vec![record],
                upto,
            };
            // One that is tried again is read again with all behind it.
            committed = self.round(single).await.map_err(Halt::into_waiting)?;
        }
        self.careful = false;
        Ok(committed)
    }

    async fn tick(&mut self) -> Result<Vec<Claimed>, Halt> {
        if self.own.is_empty() || self.ticks() < self.timers_at + self.tick || self.is_catching_up()
        {
            return Ok(Vec::new());
        }
        self.timers_at = self.ticks();
        self.timers().await?;
        Ok(Vec::new())
    }

    fn release(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.own.remove(partition);
            self.process.reset(*partition);
        }
    }

    fn wants(&self) -> usize {
        BATCH
    }
}

impl<W: World<Store: StateStore>, P: Process> Reads for ProcessRole<W, P> {
    /// None where the record is of no interest.
    type Read = Option<Recorded<P::Input>>;

    async fn read(&self, record: &Record) -> Result<Self::Read, Failure> {
        guarded_async(self.process.decode(record)).await
    }
}

impl<W: World<Store: StateStore>, P: Process> ProcessRole<W, P> {
    /// Decides a batch, appends what follows, and commits.
    async fn round(&mut self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        let mut intake = Intake::new(batch.records.len(), batch.upto);
        intake.read(batch.records, self, &self.dead_letters).await?;
        let mut states = States::<StateOf<P>>::default();
        self.prefetch(&intake, &mut states).await?;
        let mut decided = Decided::<P>::default();
        let mut last = None;
        for (taken, input) in std::mem::take(&mut intake.items) {
            let Some(input) = input else { continue };
            if intake.is_cut(&taken.at) {
                continue;
            }
            match self
                .decide(&mut decided, &mut states, taken.record(), &input)
                .await?
            {
                Ok(()) => last = Some(taken),
                Err(failure) => {
                    intake.fail(&taken, failure, &self.dead_letters).await?;
                }
            }
        }
        let own = match self.append(decided).await {
            Ok(own) => own,
            Err(AppendError::Halt(halt)) => return Err(halt),
            Err(AppendError::Refused(error)) => {
                return self.refused(error, last, &intake.upto).await;
            }
        };
        let mut upto = intake.upto.clone();
        upto.extend_from_slice(&own);
        self.commit(&states, &upto).await?;
        self.remember(&own);
        intake.end()
    }

    async fn prefetch(
        &self,
        intake: &Intake<Option<Recorded<P::Input>>>,
        states: &mut States<StateOf<P>>,
    ) -> Result<(), Halt> {
        let mut by_partition: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (taken, input) in &intake.items {
            by_partition
                .entry(taken.at.partition)
                .or_default()
                .extend(input.iter().flat_map(|input| self.process.streams(input)));
        }
        for (partition, streams) in by_partition {
            let own = self.own.get(&partition).ok_or(Halt::Fenced)?;
            states.load(self.world.store(), own, &streams).await?;
        }
        Ok(())
    }

    /// The outer error stops the batch, the inner one concerns this input.
    async fn decide(
        &self,
        decided: &mut Decided<P>,
        states: &mut States<StateOf<P>>,
        record: &Record,
        input: &Recorded<P::Input>,
    ) -> Result<Result<(), Failure>, Halt> {
        let routes = match guarded_async(self.process.route(record.partition, input)).await {
            Ok(routes) => routes,
            Err(failure) => return Ok(Err(failure)),
        };
        let streams: Vec<String> = routes.iter().map(|(stream, _)| stream.clone()).collect();
        let own = self.own.get(&record.partition).ok_or(Halt::Fenced)?;
        states.load(self.world.store(), own, &streams).await?;
        let now = self.world.clock().now();
        Ok(decided.input(&self.process, states, record, input, routes, now))
    }

    /// Appends the events, checks that nobody else wrote in between, and only
    /// then appends the requests. Answers the own claims moved behind the events.
    ///
    /// A record of somebody else among ours can only come from an owner that
    /// lost the partition without knowing, and its version of a stream may be
    /// the one that readers see. Then nothing is committed and no request goes
    /// out: the topic is folded as readers see it, and the inputs decided again.
    ///
    /// Of each stream one event is on its way at a time. An event counts for
    /// readers if it is the first of its version, so one that was decided on what
    /// is known to stand on the log either counts, and rightly, or does not. Sent
    /// with its successors, it could lose to somebody else's version while they,
    /// which were decided on it, still count.
    pub(super) async fn append(&self, decided: Decided<P>) -> Result<Vec<Claimed>, AppendError> {
        if decided.events.is_empty() {
            return Ok(Vec::new());
        }
        // Nothing of a decision goes out that cannot go out as a whole.
        for draft in &decided.events {
            draft.outgoing.check_size()?;
        }
        if !decided.indivisible.is_empty() && stands(Guard::Intent) {
            self.intend(&decided).await?;
        }
        let mut moved = BTreeMap::new();
        for wave in waves(decided.events) {
            self.append_in_place(wave, &mut moved).await?;
        }
        if !decided.requests.is_empty() {
            let producer = self.world.log().producer();
            producer.append_all(decided.requests).await?;
        }
        Ok(moved.into_values().collect())
    }

    /// Notes the streams about which one decision is several events.
    async fn intend(&self, decided: &Decided<P>) -> Result<(), Halt> {
        let mut by_partition: BTreeMap<i32, Vec<&Outgoing>> = BTreeMap::new();
        for draft in &decided.events {
            if decided.indivisible.contains(&draft.stream) {
                by_partition
                    .entry(draft.partition)
                    .or_default()
                    .push(&draft.outgoing);
            }
        }
        let mut notes = Vec::with_capacity(by_partition.len());
        let mut claims = Vec::with_capacity(by_partition.len());
        for (partition, records) in by_partition {
            claims.push(self.own.get(&partition).ok_or(Halt::Fenced)?.clone());
            notes.push((partition, intent::write(records.into_iter())?));
        }
        let store = self.world.store();
        let noted = within(self.world.clock(), DEADLINE, store.intend(&notes, &claims))
            .await
            .unwrap_or_else(|| Err(Halt::transient("a transaction took too long").into()));
        Ok(noted?)
    }

    /// Appends, and checks that the records stand where this owner's topic ended.
    async fn append_in_place(
        &self,
        drafts: Vec<Draft>,
        moved: &mut BTreeMap<i32, Claimed>,
    ) -> Result<(), AppendError> {
        let outgoing = drafts.into_iter().map(|draft| draft.outgoing).collect();
        let positions = self.world.log().producer().append_all(outgoing).await?;
        for position in positions {
            let own = match moved.entry(position.partition) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let Some(own) = self.own.get(&position.partition) else {
                        return Err(AppendError::Halt(Halt::Fenced));
                    };
                    vacant.insert(own.clone())
                }
            };
            if position.offset != own.next_offset && stands(Guard::Position) {
                return Err(AppendError::Halt(Halt::transient(format!(
                    "the state topic holds what this owner does not know: {position} where {} was next",
                    own.next_offset
                ))));
            }
            own.next_offset += 1;
        }
        Ok(())
    }

    /// States and offsets in one transaction.
    pub(super) async fn commit(
        &self,
        states: &States<StateOf<P>>,
        upto: &[Claimed],
    ) -> Result<(), Halt> {
        let started = self.ticks();
        let result = within(self.world.clock(), DEADLINE, self.transaction(states, upto))
            .await
            .unwrap_or_else(|| Err(Halt::transient("a transaction took too long")));
        metrics::histogram!(crate::metric::COMMIT, "runner" => P::NAME)
            .record((self.ticks() - started).as_secs_f64());
        result
    }

    async fn transaction(&self, states: &States<StateOf<P>>, upto: &[Claimed]) -> Result<(), Halt> {
        let rows = states.rows(|state| self.process.wake_at(state).map(Timestamp::as_micros))?;
        let store = self.world.store();
        let saved = store.save(&rows, upto).await;
        Ok(settle(store, upto, saved).await?)
    }

    pub(super) fn remember(&mut self, own: &[Claimed]) {
        for claim in own {
            self.own.insert(claim.partition, claim.clone());
        }
    }

    /// The broker refuses something for good. In a batch that starts the careful
    /// mode; alone, the input becomes a dead letter. Either way the state topic
    /// is folded again, because part of what was decided may stand on it.
    async fn refused(
        &mut self,
        error: platform_log::Error,
        last: Option<Taken>,
        upto: &[Claimed],
    ) -> Result<Vec<Claimed>, Halt> {
        let failure = Failure::poison(error);
        if let Some(taken) = last.filter(|_| self.careful) {
            // Once among others, and once alone.
            self.dead_letters.bury(taken.record(), &failure, 2).await?;
            self.commit(&States::default(), upto).await?;
        }
        self.careful = true;
        Err(Halt::transient(chain(&failure)))
    }

    fn ticks(&self) -> Duration {
        self.world.clock().ticks()
    }

    /// What arrived while nobody was at work comes before the deadlines that
    /// passed meanwhile: an answer in time must not lose to its own deadline.
    fn is_catching_up(&self) -> bool {
        self.ticks() < self.busy_at + QUIET && self.ticks() < self.taken_over_at + CATCHING_UP
    }

    /// Wakes the streams whose time has come.
    async fn timers(&mut self) -> Result<(), Halt> {
        let now = self.world.clock().now();
        let own: Vec<Claimed> = self.own.values().cloned().collect();
        let store = self.world.store();
        let due = states::due::<StateOf<P>, _>(store, &own, now.as_micros(), DUE).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut states = States::default();
        let mut decided = Decided::<P>::default();
        let mut idle = Vec::new();
        for (stream, entry) in due {
            match decided.timer(&self.process, &mut states, stream.clone(), entry, now) {
                Ok(true) => {}
                Ok(false) => idle.push(stream),
                Err(failure) => {
                    warn!(process.name = P::NAME, stream.id = %stream, error = %chain(&failure), "timer failed");
                    idle.push(stream);
                }
            }
        }
        let own = match self.append(decided).await {
            Ok(own) => own,
            Err(AppendError::Halt(halt)) => return Err(halt),
            Err(AppendError::Refused(error)) => return Err(Halt::transient(error)),
        };
        if !own.is_empty() {
            self.commit(&states, &own).await?;
            self.remember(&own);
        }
        if !idle.is_empty() {
            let again = now.plus_millis(TIMER_AGAIN_MS).as_micros();
            self.world
                .store()
                .postpone(&idle, now.as_micros(), again)
                .await?;
        }
        Ok(())
    }
}

/// The first event of every stream, then the second of those that have one, and
/// so on.
fn waves(drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut waves: Vec<Vec<Draft>> = Vec::new();
    for draft in drafts {
        let turn = next.entry(draft.stream.clone()).or_default();
        let wave = if stands(Guard::OneAtATime) { *turn } else { 0 };
        *turn += 1;
        if wave == waves.len() {
            waves.push(Vec::new());
        }
        waves[wave].push(draft);
    }
    waves
}

pub(super) enum AppendError {
    /// Never accepted, however often it is tried.
    Refused(platform_log::Error),
    Halt(Halt),
}

impl From<Halt> for AppendError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<platform_log::Error> for AppendError {
    fn from(error: platform_log::Error) -> Self {
        if matches!(error, platform_log::Error::TooLarge { .. }) {
            Self::Refused(error)
        } else {
            Self::Halt(error.into())
        }
    }
}
