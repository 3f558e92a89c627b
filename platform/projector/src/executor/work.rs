use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain_kernel::Recorded;
use platform_log::Producer;
use tokio::sync::Notify;
use tracing::{Instrument, info_span, warn};

use super::ownership::Ownership;
use super::progress::Progress;
use super::{Cancellation, Executor, Journal};
use crate::Failure;
use crate::dead_letter::{DeadLetters, Taken};
use crate::error::chain;
use crate::intake::guarded_async;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How many requests may be held back in memory because those they share places
/// with are slow. Beyond it nothing more is read.
const HELD_BACK: usize = 2_000;
/// How long an interrupted execution may take to return before it is dropped.
const GRACE: Duration = Duration::from_secs(2);

/// One request to be carried out.
pub(crate) struct Job<E: Executor> {
    pub(crate) taken: Taken,
    pub(crate) request: Recorded<E::Request>,
    pub(crate) stream: String,
    pub(crate) key: Option<String>,
    /// Whom it shares places with.
    pub(crate) share: Option<String>,
    pub(crate) history: Vec<Recorded<E::Answer>>,
    /// Begun by an owner before, of whom an answer may still have come since.
    pub(crate) resumed: AtomicBool,
    pub(crate) cancel: Cancellation,
    /// Shared by all jobs of one ownership of one partition.
    pub(crate) ownership: Arc<Ownership>,
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// With its final answer on the log.
    Answered,
    /// Among the dead letters, without one.
    GivenUp,
    /// Before either; it will be executed again.
    Interrupted,
}

/// What is to be done, what is being done and how far that is.
pub(crate) struct Work<E: Executor> {
    executor: Arc<E>,
    producer: Producer,
    dead_letters: DeadLetters,
    concurrency: usize,
    /// How many of those may share one key.
    places: usize,
    inner: Mutex<Inner<E>>,
    running: AtomicUsize,
    stopping: AtomicBool,
    changed: Notify,
}

pub(crate) struct Inner<E: Executor> {
    pub(crate) progress: BTreeMap<i32, Progress>,
    ready: VecDeque<Job<E>>,
    /// Behind a running request with the same key.
    behind: HashMap<String, VecDeque<Job<E>>>,
    busy: HashSet<String>,
    /// How many are running, by partition and by what they share places with.
    running_in: BTreeMap<i32, usize>,
    sharing: HashMap<String, usize>,
    /// All jobs not finished: partition and cancellation, by stream.
    pub(crate) jobs: HashMap<String, (i32, Cancellation)>,
}

impl<E: Executor> Work<E> {
    pub(crate) fn new(executor: Arc<E>, producer: Producer, dead_letters: DeadLetters) -> Self {
        Self {
            concurrency: executor.concurrency().max(1),
            places: executor.places().max(1),
            executor,
            producer,
            dead_letters,
            inner: Mutex::new(Inner {
                progress: BTreeMap::new(),
                ready: VecDeque::new(),
                behind: HashMap::new(),
                busy: HashSet::new(),
                jobs: HashMap::new(),
                running_in: BTreeMap::new(),
                sharing: HashMap::new(),
            }),
            running: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Never held across an await. A panic of another holder leaves whole
    /// values behind, so the poison flag says nothing of interest.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more requests may be taken in.
    pub(crate) fn room(&self) -> usize {
        let most = if self.places < self.concurrency {
            // Those that share one key may all wait while there is room for others.
            (self.concurrency * 4).max(HELD_BACK)
        } else {
            self.concurrency * 4
        };
        most.saturating_sub(self.lock().jobs.len())
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn add(self: &Arc<Self>, job: Job<E>) {
        {
            let mut inner = self.lock();
            inner.jobs.insert(
                job.stream.clone(),
                (job.taken.at.partition, job.cancel.clone()),
            );
            inner.enqueue(job);
        }
        self.start_ready();
    }

    /// Ends whatever is under way or waiting for these partitions; their
    /// requests stay unfinished.
    pub(crate) fn release(&self, partitions: &[i32]) {
        self.withdraw(partitions);
        let mut inner = self.lock();
        for partition in partitions {
            inner.progress.remove(partition);
        }
        inner.jobs.retain(|_, (partition, cancel)| {
            let lost = partitions.contains(partition);
            if lost {
                cancel.interrupt();
            }
            !lost
        });
    }

    /// Starts nothing more for these partitions; what is running goes on.
    pub(crate) fn withdraw(&self, partitions: &[i32]) {
        let mut inner = self.lock();
        for waiting in inner.behind.values_mut() {
            waiting.retain(|job| !partitions.contains(&job.taken.at.partition));
        }
        let (lost, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut inner.ready)
            .into_iter()
            .partition(|job| partitions.contains(&job.taken.at.partition));
        inner.ready = kept;
        for key in lost.into_iter().filter_map(|job| job.key) {
            inner.next_of(&key);
        }
    }

    /// Waits until nothing is running for these partitions.
    pub(crate) async fn idle_in(&self, partitions: &[i32]) {
        loop {
            let changed = self.changed.notified();
            let busy = {
                let inner = self.lock();
                partitions
                    .iter()
                    .any(|partition| inner.running_in.contains_key(partition))
            };
            if !busy {
                return;
            }
            changed.await;
        }
    }

    /// Starts nothing more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Interrupts all that is running.
    pub(crate) fn interrupt(&self) {
        for (_, cancel) in self.lock().jobs.values() {
            cancel.interrupt();
        }
    }

    /// Waits until nothing is running.
    pub(crate) async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            if self.running() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn start_ready(self: &Arc<Self>) {
        let mut inner = self.lock();
        while !self.stopping.load(Ordering::Acquire) && self.running() < self.concurrency {
            let Some(job) = inner.next_ready(self.places) else {
                return;
            };
            self.running.fetch_add(1, Ordering::AcqRel);
            let work = Arc::clone(self);
            tokio::spawn(async move {
                let job = Arc::new(job);
                let key = job.key.clone();
                let ending = work.carry_out(&job).await;
                work.done(&job, ending);
                work.running.fetch_sub(1, Ordering::AcqRel);
                {
                    let mut inner = work.lock();
                    inner.ended(&job);
                    if let Some(key) = key {
                        inner.next_of(&key);
                    }
                }
                work.changed.notify_waiters();
                work.start_ready();
            });
        }
    }

    fn done(&self, job: &Job<E>, ending: Ending) {
        if ending == Ending::Interrupted || job.ownership.is_lost() {
            return;
        }
        let at = &job.taken.at;
        let mut inner = self.lock();
        inner.jobs.remove(&job.stream);
        let Some(progress) = inner.progress.get_mut(&at.partition) else {
            return;
        };
        match ending {
            Ending::Answered => progress.finish(&at.topic, at.offset, job.stream.clone()),
            // Not answered, so not finished: it may come back from the dead letters.
            _ => progress.give_up(&at.topic, at.offset),
        }
    }

    /// Executes until there is a final answer, or it is interrupted or given up.
    async fn carry_out(&self, job: &Arc<Job<E>>) -> Ending {
        let mut attempts = 0;
        let mut history = job.history.clone();
        let mut wait = FIRST_WAIT;
        loop {
            if job.cancel.is_interrupted() {
                return Ending::Interrupted;
            }
            let journal = Journal::new(
                Arc::clone(&self.executor),
                self.producer.clone(),
                Arc::clone(job),
                history.clone(),
            );
            let span = info_span!("execute", executor.name = E::NAME, stream.id = %job.stream);
            platform_telemetry::span_with_parent(&span, job.request.meta.traceparent.as_deref());
            let execution = guarded_async(self.executor.execute(
                job.request.clone(),
                &journal,
                history.clone(),
                job.cancel.clone(),
            ))
            .instrument(span);
            let result = tokio::select! {
                result = execution => result,
                () = overdue(&job.cancel) => Err(Failure::transient("it did not return in time")),
            };
            if journal.is_finished() {
                return Ending::Answered;
            }
            if job.cancel.is_interrupted() {
                return Ending::Interrupted;
            }
            let failure = match result {
                Ok(()) => Failure::suspect("it ended without a final answer"),
                Err(failure) => failure,
            };
            attempts += 1;
            let given_up = match failure {
                Failure::Transient(_) => false,
                Failure::Suspect(_) => attempts >= self.dead_letters.attempts(),
                Failure::Poison(_) => true,
            };
            if given_up {
                return self.bury(job, &failure, attempts).await;
            }
            if let Failure::Suspect(_) = failure {
                wait = self.dead_letters.pause(attempts);
            }
            metrics::counter!(crate::metric::RETRIES, "runner" => E::NAME, "step" => "execution")
                .increment(1);
            history = journal.answers().await;
            warn!(executor.name = E::NAME, stream.id = %job.stream, error = %chain(&failure), wait_ms = wait.as_millis() as u64, "execution failed for now");
            tokio::select! {
                () = job.cancel.interrupted() => return Ending::Interrupted,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn bury(&self, job: &Job<E>, failure: &Failure, attempts: u32) -> Ending {
        let mut wait = FIRST_WAIT;
        let record = job.taken.record();
        while let Err(halt) = self.dead_letters.bury(record, failure, attempts).await {
            warn!(executor.name = E::NAME, reason = %halt.reason(), "dead letter is not on the log yet");
            tokio::select! {
                () = job.cancel.interrupted() => return Ending::Interrupted,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ending::GivenUp
    }
}

impl<E: Executor> Inner<E> {
    fn enqueue(&mut self, job: Job<E>) {
        if let Some(key) = &job.key
            && !self.busy.insert(key.clone())
        {
            self.behind.entry(key.clone()).or_default().push_back(job);
        } else {
            self.ready.push_back(job);
        }
    }

    /// The first that may run: not one whose key has all its places taken.
    fn next_ready(&mut self, places: usize) -> Option<Job<E>> {
        let index = self.ready.iter().position(|job| {
            let taken = job.share.as_ref().and_then(|key| self.sharing.get(key));
            taken.is_none_or(|taken| *taken < places)
        })?;
        let job = self.ready.remove(index)?;
        *self.running_in.entry(job.taken.at.partition).or_default() += 1;
        if let Some(key) = &job.share {
            *self.sharing.entry(key.clone()).or_default() += 1;
        }
        Some(job)
    }

    fn ended(&mut self, job: &Job<E>) {
        let partition = job.taken.at.partition;
        if let Some(running) = self.running_in.get_mut(&partition) {
            *running -= 1;
            if *running == 0 {
                self.running_in.remove(&partition);
            }
        }
        if let Some(key) = &job.share
            && let Some(running) = self.sharing.get_mut(key)
        {
            *running -= 1;
            if *running == 0 {
                self.sharing.remove(key);
            }
        }
    }

    /// The running request of this key has ended: its next one may start.
    fn next_of(&mut self, key: &str) {
        let next = self.behind.get_mut(key).and_then(VecDeque::pop_front);
        match next {
            Some(job) => self.ready.push_back(job),
            None => {
                self.behind.remove(key);
                self.busy.remove(key);
            }
        }
    }
}

/// Resolves when an interrupted execution has had its time to return.
async fn overdue(cancel: &Cancellation) {
    cancel.interrupted().await;
    tokio::time::sleep(GRACE).await;
}
