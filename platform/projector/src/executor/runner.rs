use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use domain_kernel::Recorded;
use platform_log::{Admin, Record};
use platform_postgres::{Claimed, Pool, migrate, schema_name, use_schema};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::ownership::Ownership;
use super::progress::{Mark, Progress, Vector};
use super::recovery::{self, Histories};
use super::work::{Job, Work};
use super::{Cancellation, Executor};
use crate::dead_letter::{DeadLetters, Taken, with_redrives};
use crate::intake::{Intake, Place, Reads, guarded_async};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, checkpoints, group};
use crate::world::{PgStore, Real, World, WriteError, settle};
use crate::{Deps, Error, Failure};

const TICK: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(60);
/// How often the ends of the answer topic are asked for, so that less of it is
/// to be read after a restart.
const LOOK_AT_ENDS: Duration = Duration::from_secs(10);
/// How long running executions may take to finish when their partition goes to
/// another member. The group waits for that, so it is well below its patience.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long running executions may take to finish when the process stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Carries out requests until `shutdown`.
///
/// # Errors
/// Only for what no waiting cures, such as a consumer that cannot be built.
pub async fn run_executor<E: Executor>(
    executor: E,
    deps: Deps,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let executor = Arc::new(executor);
    let world = Real::new(&deps, checkpoints(E::NAME), vec![recovery::MIGRATION])?;
    let options = SessionOptions {
        name: E::NAME,
        group: group(E::NAME),
        inputs: with_redrives(executor.topics()),
        own: None,
        tick: TICK,
    };
    let mut topics = executor.topics();
    topics.push(executor.answer_topic());
    let dead_letters = DeadLetters::new(&world, E::NAME, &topics);
    let role = ExecutorRole {
        work: Arc::new(Work::new(
            Arc::clone(&executor),
            deps.producer.clone(),
            dead_letters.clone(),
        )),
        admin: Admin::new(&deps.settings.kafka)?,
        executor,
        dead_letters,
        store: world.store().clone(),
        histories: HashMap::new(),
        ownerships: BTreeMap::new(),
        ends: Arc::new(Vector::new()),
        looked_at: Instant::now(),
        deps: deps.clone(),
    };
    Session::join_and_run(options, world, role, &shutdown).await
}

/// Creates or updates the schema of an executor.
///
/// # Errors
/// When Postgres fails or a migration does.
pub async fn migrate_executor<E: Executor>(pool: &Pool) -> Result<(), platform_postgres::Error> {
    migrate(pool, &schema_name(E::NAME), &[recovery::MIGRATION]).await
}

pub(super) struct ExecutorRole<E: Executor> {
    pub(super) executor: Arc<E>,
    pub(super) deps: Deps,
    pub(super) admin: Admin,
    pub(super) store: PgStore,
    pub(super) dead_letters: DeadLetters,
    pub(super) histories: Histories<E::Answer>,
    work: Arc<Work<E>>,
    /// The current one of each partition.
    ownerships: BTreeMap<i32, Arc<Ownership>>,
    /// Where the answer topic ended when last looked at.
    ends: Arc<Vector>,
    looked_at: Instant,
}

impl<E: Executor> Role for ExecutorRole<E> {
    async fn take_over(&mut self, claims: &[Claimed]) -> Result<Vec<Claimed>, Halt> {
        let mut ends_of: BTreeMap<&str, Vector> = BTreeMap::new();
        for claim in claims {
            if !ends_of.contains_key(claim.topic.as_str()) {
                let ends = self.admin.high_watermarks(&claim.topic).await?;
                ends_of.insert(&claim.topic, ends.into_iter().collect());
            }
        }
        let (mut inherited, ends) = self.recover(claims).await?;
        self.ends = Arc::new(ends);
        self.looked_at = Instant::now();
        let mut by_partition: BTreeMap<i32, Vec<(Claimed, i64)>> = BTreeMap::new();
        for claim in claims {
            let end = ends_of
                .get(claim.topic.as_str())
                .and_then(|ends| ends.get(&claim.partition))
                .copied()
                .unwrap_or(0);
            by_partition
                .entry(claim.partition)
                .or_default()
                .push((claim.clone(), end));
        }
        for (partition, claims) in by_partition {
            let held = claims.iter().map(|(claim, _)| claim.clone()).collect();
            let ownership = self.ownership(held);
            let progress = Progress::new(claims, inherited.remove(&partition).unwrap_or_default());
            self.work.lock().progress.insert(partition, progress);
            self.ownerships.insert(partition, Arc::new(ownership));
        }
        Ok(claims.to_vec())
    }

    async fn handle(&mut self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        let mut intake = Intake::new(batch.records.len(), batch.upto);
        intake.read(batch.records, self, &self.dead_letters).await?;
        let finished = self.finished_among(&intake.items).await?;
        self.recall(&intake.items, &finished).await?;
        self.pass(&intake.passed);
        for (taken, request) in std::mem::take(&mut intake.items) {
            self.take_in(taken, request, &finished);
        }
        match intake.end() {
            Ok(_) => Ok(Vec::new()),
            // The checkpoint is what is finished, and moved by `tick`.
            Err(Halt::Held { held, .. }) => Err(Halt::Held {
                held,
                committed: Vec::new(),
            }),
            Err(halt) => Err(halt),
        }
    }

    async fn tick(&mut self) -> Result<Vec<Claimed>, Halt> {
        if self.looked_at.elapsed() > LOOK_AT_ENDS && !self.ownerships.is_empty() {
            self.looked_at = Instant::now();
            let ends = self
                .admin
                .high_watermarks(self.executor.answer_topic())
                .await?;
            self.ends = Arc::new(ends.into_iter().collect());
        }
        metrics::gauge!(crate::metric::RUNNING, "runner" => E::NAME)
            .set(self.work.running() as f64);
        let marks: Vec<(i32, Mark)> = {
            let inner = self.work.lock();
            inner
                .progress
                .iter()
                .filter_map(|(partition, progress)| {
                    progress.mark(&self.ends).map(|mark| (*partition, mark))
                })
                .collect()
        };
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        self.commit(&marks).await?;
        let mut inner = self.work.lock();
        for (partition, mark) in &marks {
            if let Some(progress) = inner.progress.get_mut(partition) {
                progress.committed(mark);
            }
        }
        Ok(marks.into_iter().flat_map(|(_, mark)| mark.upto).collect())
    }

    async fn hand_over(&mut self, partitions: &[i32]) {
        self.work.withdraw(partitions);
        if tokio::time::timeout(HAND_OVER, self.work.idle_in(partitions))
            .await
            .is_err()
        {
            info!(
                executor.name = E::NAME,
                running = self.work.running(),
                "executions are interrupted, the next owner resumes them"
            );
        }
    }

    fn release(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(ownership) = self.ownerships.remove(partition) {
                ownership.lose();
            }
        }
        self.work.release(partitions);
        if self.ownerships.is_empty() {
            self.histories.clear();
        }
    }

    fn wants(&self) -> usize {
        self.work.room()
    }

    async fn drain(&mut self) {
        self.work.stop();
        let running = self.work.running();
        if running == 0 {
            return;
        }
        info!(
            executor.name = E::NAME,
            running, "letting executions finish"
        );
        if tokio::time::timeout(DRAIN, self.work.idle()).await.is_ok() {
            return;
        }
        warn!(
            executor.name = E::NAME,
            running = self.work.running(),
            "interrupting executions, they will be resumed"
        );
        self.work.interrupt();
        self.work.idle().await;
    }
}

impl<E: Executor> Reads for ExecutorRole<E> {
    /// None where the record is of no interest.
    type Read = Option<Recorded<E::Request>>;

    async fn read(&self, record: &Record) -> Result<Self::Read, Failure> {
        guarded_async(self.executor.decode(record)).await
    }
}

impl<E: Executor> ExecutorRole<E> {
    fn ownership(&self, claims: Vec<Claimed>) -> Ownership {
        let checkpoints = self.store.checkpoints.clone();
        let kafka = self.deps.settings.kafka.clone();
        let read_to = Arc::clone(&self.ends);
        Ownership::new(self.deps.pool.clone(), checkpoints, claims, kafka, read_to)
    }

    async fn finished_among(
        &self,
        items: &[(Taken, Option<Recorded<E::Request>>)],
    ) -> Result<HashSet<String>, Halt> {
        let streams: Vec<String> = items
            .iter()
            .filter_map(|(_, request)| request.as_ref())
            .map(|request| self.executor.stream(request))
            .collect();
        let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
        let finished =
            recovery::finished_among(&self.deps.pool, self.store.checkpoints.schema(), &streams)
                .await?;
        Ok(finished.into_iter().collect())
    }

    /// Nothing is to be done for what stands here.
    fn pass(&self, places: &[Place]) {
        let mut inner = self.work.lock();
        for (topic, partition, offset) in places {
            if let Some(progress) = inner.progress.get_mut(partition) {
                progress.pass(topic, *offset);
            }
        }
    }

    /// Begins a request, or passes over a record that asks for nothing new.
    fn take_in(
        &mut self,
        taken: Taken,
        request: Option<Recorded<E::Request>>,
        finished: &HashSet<String>,
    ) {
        let (topic, offset) = (&taken.at.topic, taken.at.offset);
        let partition = taken.at.partition;
        let Some(ownership) = self.ownerships.get(&partition).cloned() else {
            return;
        };
        let mut inner = self.work.lock();
        let called_off = request
            .as_ref()
            .and_then(|request| self.executor.cancels(request));
        if let Some(stream) = &called_off
            && let Some((_, cancel)) = inner.jobs.get(stream)
        {
            cancel.request();
        }
        let jobs: HashSet<&String> = inner.jobs.keys().collect();
        let wanted = request
            .filter(|_| called_off.is_none())
            .map(|request| (self.executor.stream(&request), request))
            .filter(|(stream, _)| !finished.contains(stream) && !jobs.contains(stream));
        drop(jobs);
        let Some(progress) = inner.progress.get_mut(&partition) else {
            return;
        };
        let wanted = wanted.filter(|(stream, _)| !progress.knows_finished(stream));
        let Some((stream, request)) = wanted else {
            progress.pass(topic, offset);
            return;
        };
        progress.begin(topic, offset, &self.ends);
        drop(inner);
        let history = self.histories.remove(&stream).unwrap_or_default();
        self.work.add(Job {
            key: self.executor.order_key(&request),
            share: self.executor.share_key(&request),
            taken,
            request,
            stream,
            resumed: AtomicBool::new(!history.is_empty()),
            history,
            cancel: Cancellation::new(),
            ownership,
        });
    }

    async fn commit(&self, marks: &[(i32, Mark)]) -> Result<(), Halt> {
        let started = Instant::now();
        let upto: Vec<Claimed> = marks
            .iter()
            .flat_map(|(_, mark)| mark.upto.iter().cloned())
            .collect();
        let result = tokio::time::timeout(DEADLINE, async {
            let written = self.transaction(marks, &upto).await;
            Ok(settle(&self.store, &upto, written).await?)
        })
        .await
        .unwrap_or_else(|_| Err(Halt::transient("a transaction took too long")));
        metrics::histogram!(crate::metric::COMMIT, "runner" => E::NAME)
            .record(started.elapsed().as_secs_f64());
        result
    }

    async fn transaction(&self, marks: &[(i32, Mark)], upto: &[Claimed]) -> Result<(), WriteError> {
        let mut client = self.deps.pool.get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, self.store.checkpoints.schema()).await?;
        self.store.checkpoints.advance(&tx, upto).await?;
        for (partition, mark) in marks {
            recovery::save(&tx, *partition, mark).await?;
        }
        tx.commit().await.map_err(WriteError::of_commit)
    }
}
