use std::collections::BTreeMap;
use std::time::Duration;

use platform_log::Record;
use tracing::warn;

use super::{Halt, Role, Session};
use crate::Failure;
use crate::error::chain;
use crate::world::{Member, World};

/// A record that failed by itself and is to be tried again. Its partition waits
/// with it, so that order is kept; the others go on.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) pause: Duration,
    pub(crate) failure: Failure,
}

/// The partitions that wait, and until when, by the ticks of the clock.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<i32, Duration>);

impl Waiting {
    fn add(&mut self, partition: i32, until: Duration) {
        let known = self.0.entry(partition).or_insert(until);
        *known = until.max(*known);
    }

    fn take_due(&mut self, now: Duration) -> Vec<i32> {
        let due: Vec<i32> = self
            .0
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(partition, _)| *partition)
            .collect();
        self.remove(&due);
        due
    }

    pub(super) fn contains(&self, partition: i32) -> bool {
        self.0.contains_key(&partition)
    }

    pub(super) fn remove(&mut self, partitions: &[i32]) {
        self.0.retain(|number, _| !partitions.contains(number));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// When the first of them goes on.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.values().min().copied()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<W: World, R: Role> Session<W, R> {
    /// Lets the partitions of these records wait, without giving them up.
    pub(super) fn hold(&mut self, held: Vec<Held>) -> Result<(), Halt> {
        let now = self.ticks();
        let mut partitions = Vec::with_capacity(held.len());
        for held in held {
            warn!(
                runner.name = self.options.name,
                messaging.destination.name = %held.topic,
                messaging.kafka.partition = held.partition,
                messaging.kafka.offset = held.offset,
                wait_ms = held.pause.as_millis() as u64,
                reason = %chain(&held.failure),
                "record is tried again after a pause"
            );
            self.owned.rewind(&held.topic, held.partition, held.offset);
            self.waiting.add(held.partition, now + held.pause);
            partitions.push(held.partition);
        }
        self.consumer.pause(&partitions)?;
        self.show_waiting();
        Ok(())
    }

    /// Reads on where the pause is over.
    pub(super) fn go_on(&mut self) -> Result<(), Halt> {
        let due = self.waiting.take_due(self.ticks());
        if due.is_empty() {
            return Ok(());
        }
        self.show_waiting();
        let mut claims = self.owned.claims();
        claims.retain(|claim| due.contains(&claim.partition));
        self.start(&claims)?;
        if !self.paused {
            self.consumer.resume(&due)?;
        }
        Ok(())
    }

    /// What was fetched of a partition before it had to wait is read again.
    pub(super) fn drop_waiting(&self, records: &mut Vec<Record>) {
        records.retain(|record| !self.waiting.contains(record.partition));
    }

    pub(super) fn show_waiting(&self) {
        metrics::gauge!(crate::metric::HELD, "runner" => self.options.name)
            .set(self.waiting.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_goes_on_when_the_longest_of_its_pauses_is_over() {
        let now = Duration::from_secs(60);
        let later = now + Duration::from_secs(1);
        let mut waiting = Waiting::default();
        waiting.add(1, later);
        waiting.add(1, now);
        waiting.add(2, now);
        assert_eq!(waiting.take_due(now), [2]);
        assert!(waiting.contains(1));
        assert_eq!(waiting.take_due(later), [1]);
        assert_eq!(waiting.len(), 0);
    }
}
