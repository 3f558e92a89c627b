use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use platform_log::Record;
use platform_postgres::Claimed;

use crate::Failure;
use crate::dead_letter::{DeadLetters, Taken, Verdict};
use crate::session::{Halt, Held};

/// A batch on its way in: what could be decoded, up to the first record of each
/// topic partition that cannot be handled for now.
pub(crate) struct Intake<T> {
    pub(crate) items: Vec<(Taken, T)>,
    pub(crate) upto: Vec<Claimed>,
    /// Why the batch was cut short; the runner halts after handling the rest.
    stopped: Option<Failure>,
    /// Where it was cut short for one record, to be tried again after a pause.
    held: Vec<Held>,
    cut: Vec<(String, i32)>,
}

impl<T> Intake<T> {
    pub(crate) fn new(capacity: usize, upto: Vec<Claimed>) -> Self {
        Self {
            items: Vec::with_capacity(capacity),
            upto,
            stopped: None,
            held: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// Whether the record stands behind one that has to wait, or is it.
    pub(crate) fn is_cut(&self, record: &Record) -> bool {
        self.cut
            .iter()
            .any(|(topic, partition)| *partition == record.partition && *topic == record.topic)
    }

    pub(crate) fn take(&mut self, taken: Taken, item: T) {
        self.items.push((taken, item));
    }

    /// Sends a record away that is given up, and answers whether it did; cuts
    /// the batch before one that may succeed later.
    pub(crate) async fn fail(
        &mut self,
        taken: &Taken,
        failure: Failure,
        dead_letters: &DeadLetters,
    ) -> Result<bool, Halt> {
        let record = &taken.at;
        match dead_letters.judge(taken, failure).await? {
            Verdict::Buried => return Ok(true),
            Verdict::Wait(failure) => {
                self.stopped.get_or_insert(failure);
            }
            Verdict::Again(pause, failure) => self.held.push(Held {
                topic: record.topic.clone(),
                partition: record.partition,
                offset: record.offset,
                pause,
                failure,
            }),
        }
        self.cut.push((record.topic.clone(), record.partition));
        if let Some(claim) = self
            .upto
            .iter_mut()
            .find(|claim| claim.partition == record.partition && claim.topic == record.topic)
        {
            claim.next_offset = record.offset;
        }
        Ok(false)
    }

    /// What is committed, once everything before the cuts is; or why the runner
    /// cannot simply go on.
    pub(crate) fn end(self) -> Result<Vec<Claimed>, Halt> {
        match self.stopped {
            Some(failure) => Err(failure.into()),
            None if self.held.is_empty() => Ok(self.upto),
            None => Err(Halt::Held {
                held: self.held,
                committed: self.upto,
            }),
        }
    }
}

/// What a panic said, as a poison failure: the same input panics again.
fn poisoned(panic: &(dyn Any + Send)) -> Failure {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Failure::poison(format!("panicked: {said}"))
}

/// Runs a pure step; a panic is a poison failure.
pub(crate) fn guarded<T>(step: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(step)).map_err(|panic| poisoned(&*panic))
}

/// Awaits a step; a panic is a poison failure.
pub(crate) async fn guarded_async<T, E: Into<Failure>>(
    step: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, Failure> {
    match AssertUnwindSafe(step).catch_unwind().await {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => Err(poisoned(&*panic)),
    }
}
