use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain_kernel::Timestamp;
use platform_config::DeadLetters;
use tokio::sync::Notify;

use super::chance::Chance;
use super::log::SimLog;
use super::scheduler::Scheduler;
use super::store::SimStore;
use crate::ReadinessSink;
use crate::world::{Clock, World};

/// 2026, in microseconds since 1970.
const EPOCH: i64 = 1_790_000_000_000_000;

/// What a history shares: time, chance, whether faults happen, and what did.
#[derive(Clone)]
pub(super) struct Nature {
    pub(super) scheduler: Scheduler,
    pub(super) chance: Chance,
    calm: Arc<AtomicBool>,
    /// Printed when one seed is run by itself.
    history: Arc<Mutex<Option<Vec<String>>>>,
}

impl Nature {
    pub(super) fn new(seed: u64, told: bool) -> Self {
        Self {
            scheduler: Scheduler::default(),
            chance: Chance::new(seed),
            calm: Arc::default(),
            history: Arc::new(Mutex::new(told.then(Vec::new))),
        }
    }

    pub(super) fn becomes_calm(&self) {
        self.calm.store(true, Ordering::Release);
        self.tell("-", "all is calm from here on");
    }

    /// A fault, with these odds while there are any.
    pub(super) fn fault(&self, one_in: u64) -> bool {
        !self.calm.load(Ordering::Acquire) && self.chance.one_in(one_in)
    }

    pub(super) async fn sleep_up_to(&self, most: Duration) {
        let micros = self.chance.below(most.as_micros() as u64 + 1);
        self.scheduler.sleep(Duration::from_micros(micros)).await;
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_micros(EPOCH + self.scheduler.now().as_micros() as i64)
    }

    pub(super) fn tell(&self, who: &str, what: impl Display) {
        if let Some(history) = &mut *self.history.lock().unwrap() {
            let at = self.scheduler.now().as_secs_f64();
            history.push(format!("{at:9.4} {who:<6} {what}"));
        }
    }

    /// Whether anybody wants to know.
    pub(super) fn is_told(&self) -> bool {
        self.history.lock().unwrap().is_some()
    }

    pub(super) fn history(&self) -> Vec<String> {
        self.history.lock().unwrap().clone().unwrap_or_default()
    }
}

/// One run of one process: it may be killed or stopped at any of its awaits.
#[derive(Clone)]
pub(super) struct Fate {
    pub(super) nature: Nature,
    pub(super) name: Arc<str>,
    crash: Arc<Notify>,
}

impl Fate {
    pub(super) fn new(nature: &Nature, name: &str) -> Self {
        Self {
            nature: nature.clone(),
            name: name.into(),
            crash: Arc::default(),
        }
    }

    /// Resolves when the process is killed.
    pub(super) async fn killed(&self) {
        self.crash.notified().await;
    }

    /// A step between the process and its surroundings, on the way out or back.
    /// Takes a while, and may be the last thing the process does.
    pub(super) async fn pass(&self, what: &str) {
        self.nature.sleep_up_to(Duration::from_millis(3)).await;
        if self.nature.fault(60) {
            self.nature
                .tell(&self.name, format_args!("is killed at {what}"));
            self.crash.notify_one();
            std::future::pending::<()>().await;
        }
        if self.nature.fault(60) {
            let seconds = 1 + self.nature.chance.below(30);
            self.nature.tell(
                &self.name,
                format_args!("stands still for {seconds} s at {what}"),
            );
            self.nature
                .scheduler
                .sleep(Duration::from_secs(seconds))
                .await;
            self.nature
                .tell(&self.name, format_args!("goes on at {what}"));
        }
    }

    /// Whether this call fails without having done anything.
    pub(super) fn fails(&self, what: &str) -> bool {
        let fails = self.nature.fault(40);
        if fails {
            self.nature
                .tell(&self.name, format_args!("fails at {what}"));
        }
        fails
    }
}

#[derive(Clone)]
pub(super) struct SimClock(pub(super) Nature);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn ticks(&self) -> Duration {
        self.0.scheduler.now()
    }

    async fn sleep(&self, wait: Duration) {
        self.0.scheduler.sleep(wait).await;
    }

    fn spread(&self) -> f64 {
        self.0.chance.share()
    }
}

/// What one run of one process stands on.
#[derive(Clone)]
pub(super) struct SimWorld {
    pub(super) clock: SimClock,
    pub(super) log: SimLog,
    pub(super) store: SimStore,
    pub(super) readiness: ReadinessSink,
    pub(super) dead_letters: DeadLetters,
}

impl World for SimWorld {
    type Clock = SimClock;
    type Log = SimLog;
    type Store = SimStore;

    fn clock(&self) -> &SimClock {
        &self.clock
    }

    fn log(&self) -> &SimLog {
        &self.log
    }

    fn store(&self) -> &SimStore {
        &self.store
    }

    fn readiness(&self) -> &ReadinessSink {
        &self.readiness
    }

    fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }
}
