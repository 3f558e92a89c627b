use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use platform_log::Record;
use platform_postgres::Claimed;

use crate::Failure;
use crate::dead_letter::DeadLetters;
use crate::error::chain;
use crate::session::Halt;

/// A batch on its way in: what could be decoded, up to the first record of each
/// topic partition that cannot be decoded for now.
pub(crate) struct Intake<T> {
    pub(crate) items: Vec<(Record, T)>,
    pub(crate) upto: Vec<Claimed>,
    /// Why the batch was cut short; the runner halts after handling the rest.
    pub(crate) stopped: Option<Failure>,
    cut: Vec<(String, i32)>,
}

impl<T> Intake<T> {
    pub(crate) fn new(capacity: usize, upto: Vec<Claimed>) -> Self {
        Self {
            items: Vec::with_capacity(capacity),
            upto,
            stopped: None,
            cut: Vec::new(),
        }
    }

    /// Whether the record stands behind one that has to wait.
    pub(crate) fn is_cut(&self, record: &Record) -> bool {
        self.cut
            .iter()
            .any(|(topic, partition)| *partition == record.partition && *topic == record.topic)
    }

    pub(crate) fn take(&mut self, record: Record, item: T) {
        self.items.push((record, item));
    }

    /// Sends poison away; cuts the batch before what may succeed later.
    pub(crate) async fn fail(
        &mut self,
        record: &Record,
        failure: Failure,
        dead_letters: &DeadLetters,
    ) -> Result<(), Halt> {
        if !failure.is_transient() {
            return dead_letters.send(record, &chain(&failure)).await;
        }
        self.cut(record, failure);
        Ok(())
    }

    /// Ends the batch before this record, for its topic partition.
    pub(crate) fn cut(&mut self, record: &Record, failure: Failure) {
        self.cut.push((record.topic.clone(), record.partition));
        if let Some(claim) = self
            .upto
            .iter_mut()
            .find(|claim| claim.partition == record.partition && claim.topic == record.topic)
        {
            claim.next_offset = record.offset;
        }
        self.stopped.get_or_insert(failure);
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
