use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::chance::Chance;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct State {
    now: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    sequence: u64,
    incoming: Vec<Task>,
    ready: Vec<u64>,
}

/// One thread, a clock that jumps to the next thing that is due, and the seed's
/// choice among the tasks that could go on.
#[derive(Clone, Default)]
pub(super) struct Scheduler(Arc<Mutex<State>>);

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    scheduler: Scheduler,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.scheduler.state().ready.push(self.task);
        }
    }
}

impl Scheduler {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.state().now
    }

    pub(super) fn sleep(&self, wait: Duration) -> Sleep {
        Sleep {
            scheduler: self.clone(),
            at: self.now() + wait,
            key: None,
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.state().incoming.push(Box::pin(task));
    }

    /// Runs `main` and whatever it spawns until `main` ends.
    pub(super) fn run<T: Send + 'static>(
        &self,
        chance: &Chance,
        main: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let result: Arc<Mutex<Option<T>>> = Arc::default();
        let slot = Arc::clone(&result);
        self.spawn(async move {
            let output = main.await;
            *slot.lock().unwrap() = Some(output);
        });
        let mut tasks: BTreeMap<u64, (Task, Arc<TaskWaker>)> = BTreeMap::new();
        let mut next_task = 0;
        loop {
            let incoming = std::mem::take(&mut self.state().incoming);
            for task in incoming {
                let waker = Arc::new(TaskWaker {
                    task: next_task,
                    queued: AtomicBool::new(true),
                    scheduler: self.clone(),
                });
                tasks.insert(next_task, (task, waker));
                self.state().ready.push(next_task);
                next_task += 1;
            }
            let chosen = {
                let mut state = self.state();
                if state.ready.is_empty() {
                    None
                } else {
                    let index = chance.below(state.ready.len() as u64) as usize;
                    Some(state.ready.swap_remove(index))
                }
            };
            let Some(chosen) = chosen else {
                self.jump();
                continue;
            };
            let Some((task, waker)) = tasks.get_mut(&chosen) else {
                continue;
            };
            waker.queued.store(false, Ordering::Release);
            let context_waker = Waker::from(Arc::clone(waker));
            let polled = task.as_mut().poll(&mut Context::from_waker(&context_waker));
            if polled.is_ready() {
                tasks.remove(&chosen);
                if let Some(output) = result.lock().unwrap().take() {
                    return output;
                }
            }
        }
    }

    /// To the moment at which the next timer is due.
    fn jump(&self) {
        let waker = {
            let mut state = self.state();
            let ((at, _), waker) = state.timers.pop_first().expect("somebody waits for time");
            state.now = state.now.max(at);
            waker
        };
        waker.wake();
    }
}

pub(super) struct Sleep {
    scheduler: Scheduler,
    at: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let scheduler = self.scheduler.clone();
        let mut state = scheduler.state();
        if let Some(key) = self.key.take() {
            state.timers.remove(&key);
        }
        if state.now >= self.at {
            return Poll::Ready(());
        }
        state.sequence += 1;
        let key = (self.at, state.sequence);
        state.timers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.scheduler.state().timers.remove(&key);
        }
    }
}
