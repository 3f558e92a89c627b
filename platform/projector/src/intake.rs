use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use platform_log::{Position, Record};
use platform_postgres::Claimed;

use crate::Failure;
use crate::dead_letter::{DeadLetters, TOPIC, Taken, Verdict};
use crate::session::{Halt, Held};
use crate::world::Log;

/// A batch on its way in: what could be decoded, up to the first record of each
/// topic partition that cannot be handled for now.
pub(crate) struct Intake<T> {
    pub(crate) items: Vec<(Taken, T)>,
    /// Where there was nothing to read: letters that are somebody else's, and what
    /// was given up when it was read.
    pub(crate) passed: Vec<Place>,
    /// How far it comes; of the parts before it too, once it follows them.
    pub(crate) upto: Vec<Claimed>,
    /// Why the batch was cut short; the runner halts after handling the rest.
    stopped: Option<Failure>,
    /// Where it was cut short for one record, to be tried again after a pause.
    held: Vec<Held>,
    /// The first record of a topic partition that has to wait. What comes before
    /// it is handled: the checkpoint will say that it was.
    cut: Vec<Place>,
}

/// Topic, partition, offset.
pub(crate) type Place = (String, i32, i64);

/// How many records are read before whatever else is under way has its turn.
const TURN: usize = 32;

/// Makes of a record what its runner writes.
pub(crate) trait Reads: Sync {
    type Read: Send;

    fn read(&self, record: &Record) -> impl Future<Output = Result<Self::Read, Failure>> + Send;
}

impl<T> Intake<T> {
    pub(crate) fn new(capacity: usize, upto: Vec<Claimed>) -> Self {
        Self {
            items: Vec::with_capacity(capacity),
            passed: Vec::new(),
            upto,
            stopped: None,
            held: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// The same batch goes on: what has to wait because of this part, waits.
    pub(crate) fn next(&self, capacity: usize, upto: Vec<Claimed>) -> Self {
        let mut next = Self::new(capacity, upto);
        next.cut.clone_from(&self.cut);
        next
    }

    /// Reads records, but for those that have to wait.
    pub(crate) async fn read<L: Log>(
        &mut self,
        records: Vec<Record>,
        reader: &impl Reads<Read = T>,
        dead_letters: &DeadLetters<L>,
    ) -> Result<(), Halt> {
        for (index, record) in records.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            if self.is_cut(&record) {
                continue;
            }
            let letter = (record.topic == TOPIC).then(|| place(&record));
            let resolved = dead_letters.resolve(record).await?;
            if resolved.is_empty() {
                self.passed.extend(letter);
            }
            for taken in resolved {
                if self.is_cut(&taken.at) {
                    break;
                }
                match reader.read(taken.record()).await {
                    Ok(read) => self.items.push((taken, read)),
                    Err(failure) => {
                        if self.fail(&taken, failure, dead_letters).await? {
                            self.passed.push(place(&taken.at));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the record has to wait, or stands behind one that has to.
    pub(crate) fn is_cut(&self, record: &Record) -> bool {
        self.cut.iter().any(|(topic, partition, offset)| {
            *partition == record.partition && *topic == record.topic && *offset <= record.offset
        })
    }

    /// Sends a record away that is given up, and answers whether it did; cuts
    /// the batch before one that may succeed later.
    pub(crate) async fn fail<L: Log>(
        &mut self,
        taken: &Taken,
        failure: Failure,
        dead_letters: &DeadLetters<L>,
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
        self.cut(record);
        Ok(false)
    }

    /// Ends the batch before this record, for its topic partition.
    fn cut(&mut self, record: &Record) {
        self.cut.push(place(record));
        if let Some(claim) = claim_of(&mut self.upto, &record.topic, record.partition) {
            claim.next_offset = record.offset;
        }
    }

    /// Goes on from the part before this one: what had to wait there, waits, and so
    /// does what stands behind it here. Answers whether anything of it was taken out.
    pub(crate) fn follow(&mut self, before: Self) -> bool {
        let were = self.items.len();
        self.items.retain(|(taken, _)| !before.is_cut(&taken.at));
        for (topic, partition, offset) in &before.cut {
            if let Some(claim) = claim_of(&mut self.upto, topic, *partition) {
                claim.next_offset = claim.next_offset.min(*offset);
            }
        }
        for claim in before.upto {
            if claim_of(&mut self.upto, &claim.topic, claim.partition).is_none() {
                self.upto.push(claim);
            }
        }
        // Where both hold a partition, the one before it says where it goes on.
        self.held.extend(before.held);
        self.cut.extend(before.cut);
        self.stopped = before.stopped.or_else(|| self.stopped.take());
        self.items.len() < were
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

fn place(record: &Record) -> Place {
    (record.topic.clone(), record.partition, record.offset)
}

fn claim_of<'a>(upto: &'a mut [Claimed], topic: &str, partition: i32) -> Option<&'a mut Claimed> {
    upto.iter_mut()
        .find(|claim| claim.partition == partition && claim.topic == topic)
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

/// What changes because of the events of a record; a panic is a poison failure.
pub(crate) fn projected<E, C>(
    record: &Record,
    events: impl IntoIterator<Item = E>,
    project: impl Fn(E, &Position) -> Vec<C>,
) -> Result<Vec<C>, Failure> {
    let position = record.position();
    guarded(|| {
        events
            .into_iter()
            .flat_map(|recorded| project(recorded, &position))
            .collect()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64) -> Record {
        Record {
            topic: "mesh.things".to_owned(),
            partition: 1,
            offset,
            timestamp_ms: 0,
            key: None,
            headers: platform_log::Headers::default(),
            value: None,
        }
    }

    #[test]
    fn only_what_stands_behind_a_cut_waits() {
        let claim = Claimed {
            topic: "mesh.things".to_owned(),
            partition: 1,
            next_offset: 9,
            generation: 1,
        };
        let mut intake: Intake<()> = Intake::new(3, vec![claim]);
        intake.cut(&record(7));
        assert_eq!(intake.upto[0].next_offset, 7);
        let waits: Vec<bool> = (5..10).map(|at| intake.is_cut(&record(at))).collect();
        assert_eq!(waits, [false, false, true, true, true]);
        // What fails before it later on is where the batch ends then.
        intake.cut(&record(6));
        assert_eq!(intake.upto[0].next_offset, 6);
        assert!(intake.is_cut(&record(6)));
    }

    #[test]
    fn what_waits_in_one_part_waits_in_the_next() {
        let claim = |partition, next_offset| Claimed {
            topic: "mesh.things".to_owned(),
            partition,
            next_offset,
            generation: 1,
        };
        let mut before: Intake<()> = Intake::new(0, vec![claim(0, 4), claim(1, 5)]);
        before.cut(&record(3));
        let mut next = Intake::new(2, vec![claim(1, 8), claim(2, 9)]);
        next.items.push((Taken::itself(record(7)), ()));
        let elsewhere = Record {
            partition: 2,
            ..record(8)
        };
        next.items.push((Taken::itself(elsewhere), ()));
        assert!(next.follow(before), "one was taken out");
        let left: Vec<i32> = next
            .items
            .iter()
            .map(|(taken, ())| taken.at.partition)
            .collect();
        assert_eq!(left, [2]);
        assert!(next.is_cut(&record(9)));
        let committed = next.end().unwrap();
        assert_eq!(committed, [claim(1, 3), claim(2, 9), claim(0, 4)]);
    }

    #[test]
    fn a_part_behind_one_that_waits_for_nothing_stays_as_it_is() {
        let mut next = Intake::new(1, Vec::new());
        next.items.push((Taken::itself(record(7)), ()));
        assert!(!next.follow(Intake::new(0, Vec::new())));
        assert_eq!(next.items.len(), 1);
    }
}
