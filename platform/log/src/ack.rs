//! The acknowledgements of one append: one wake-up for a whole batch.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

/// Partition and offset of each record, in the order of the append.
pub(crate) type Places = Vec<Option<(i32, i64)>>;

/// What became of one record.
type Acknowledgement = Result<(i32, i64), KafkaError>;

#[derive(Debug)]
struct State {
    places: Places,
    /// The first failure, with the index of its record.
    failed: Option<(usize, KafkaError)>,
    /// Records on their way, and one more while the batch is still open.
    pending: usize,
    done: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
pub(crate) struct Batch {
    state: Mutex<State>,
}

impl Batch {
    pub(crate) fn open(records: usize) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (done, waiting) = oneshot::channel();
        let batch = Self {
            state: Mutex::new(State {
                places: vec![None; records],
                failed: None,
                pending: 1,
                done: Some(done),
            }),
        };
        (Arc::new(batch), waiting)
    }

    /// A place for the acknowledgement of one record. If it is dropped without
    /// one, the record was never sent.
    pub(crate) fn slot(self: &Arc<Self>, index: usize) -> Slot {
        self.locked(|state| state.pending += 1);
        Slot {
            batch: Some(self.clone()),
            index,
        }
    }

    /// No more records will be sent.
    pub(crate) fn close(&self) {
        self.settle(None);
    }

    /// The places, or the first failure.
    pub(crate) fn outcome(&self) -> Result<Places, (usize, KafkaError)> {
        self.locked(|state| match state.failed.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut state.places)),
        })
    }

    fn settle(&self, result: Option<(usize, Acknowledgement)>) {
        let done = self.locked(|state| {
            match result {
                Some((index, Ok(place))) => {
                    if let Some(slot) = state.places.get_mut(index) {
                        *slot = Some(place);
                    }
                }
                Some((index, Err(error))) => {
                    state.failed.get_or_insert((index, error));
                }
                None => {}
            }
            state.pending -= 1;
            if state.pending == 0 {
                state.done.take()
            } else {
                None
            }
        });
        if let Some(done) = done {
            // Nobody waits for a detached append.
            let _ = done.send(());
        }
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Rides along with one record through the client.
#[derive(Debug)]
pub(crate) struct Slot {
    batch: Option<Arc<Batch>>,
    index: usize,
}

impl Slot {
    pub(crate) fn settle(mut self, result: Acknowledgement) {
        if let Some(batch) = self.batch.take() {
            batch.settle(Some((self.index, result)));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            batch.settle(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::RDKafkaErrorCode;

    const TIMED_OUT: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);

    #[test]
    fn the_last_acknowledgement_wakes_once() {
        let (batch, mut done) = Batch::open(2);
        let (first, second) = (batch.slot(0), batch.slot(1));
        second.settle(Ok((1, 11)));
        batch.close();
        assert!(done.try_recv().is_err(), "one is still on its way");
        first.settle(Ok((0, 10)));
        assert!(done.try_recv().is_ok());
        assert_eq!(batch.outcome(), Ok(vec![Some((0, 10)), Some((1, 11))]));
    }

    #[test]
    fn an_open_batch_is_not_done() {
        let (batch, mut done) = Batch::open(1);
        batch.slot(0).settle(Ok((0, 0)));
        assert!(done.try_recv().is_err());
        batch.close();
        assert!(done.try_recv().is_ok());
    }

    #[test]
    fn the_first_failure_is_the_outcome() {
        let (batch, _done) = Batch::open(2);
        batch.slot(1).settle(Err(TIMED_OUT));
        batch.slot(0).settle(Ok((0, 0)));
        batch.close();
        assert_eq!(batch.outcome(), Err((1, TIMED_OUT)));
    }

    #[test]
    fn a_record_that_was_never_sent_has_no_place() {
        let (batch, mut done) = Batch::open(1);
        drop(batch.slot(0));
        batch.close();
        assert!(done.try_recv().is_ok());
        assert_eq!(batch.outcome(), Ok(vec![None]));
    }
}
