use std::collections::HashMap;
use std::time::Duration;

use platform_config::DeadLetters as Policy;
use platform_log::{DecodeError, Record};

use crate::Failure;

/// How often records were tried. Several of a partition may be on trial at once, one
/// that cannot be read and one before it that cannot be written. Counted by the owner
/// of the partition: the next one begins anew.
#[derive(Debug, Default)]
pub(super) struct Tries(HashMap<(String, i32, i64), Tried>);

#[derive(Debug)]
struct Tried {
    attempts: u32,
    since: Duration,
    last: Duration,
}

impl Tries {
    /// Counts a try that failed; answers how many there were, and for how long.
    /// What was not tried again for longer than `kept` is forgotten: it succeeded.
    pub(super) fn note(
        &mut self,
        record: &Record,
        now: Duration,
        kept: Duration,
    ) -> (u32, Duration) {
        self.0
            .retain(|_, tried| now.saturating_sub(tried.last) <= kept);
        let tried = self.0.entry(place(record)).or_insert(Tried {
            attempts: 0,
            since: now,
            last: now,
        });
        tried.attempts = tried.attempts.saturating_add(1);
        tried.last = now;
        (tried.attempts, now.saturating_sub(tried.since))
    }

    /// How many tries were counted of this record.
    pub(super) fn count(&self, record: &Record) -> u32 {
        self.0.get(&place(record)).map_or(0, |tried| tried.attempts)
    }

    /// The record is given up.
    pub(super) fn forget(&mut self, record: &Record) {
        self.0.remove(&place(record));
    }
}

fn place(record: &Record) -> (String, i32, i64) {
    (record.topic.clone(), record.partition, record.offset)
}

/// The pause after so many tries.
pub(super) fn pause(policy: &Policy, attempts: u32) -> Duration {
    let doubled = policy
        .first_pause_ms
        .saturating_mul(1 << attempts.saturating_sub(1).min(32));
    Duration::from_millis(doubled.min(policy.longest_pause_ms))
}

/// For how long it counts that a record was tried: whatever waits before it in its
/// partition has its own pauses in the meantime.
pub(super) fn kept(policy: &Policy) -> Duration {
    Duration::from_millis(policy.longest_pause_ms).saturating_mul(10 * policy.attempts.max(1))
}

/// How long a record is tried at least, however often that is.
pub(super) fn patience(policy: &Policy, failure: &Failure) -> Duration {
    let lacks_schema = match failure {
        Failure::Suspect(source) => source
            .downcast_ref::<DecodeError>()
            .is_some_and(DecodeError::lacks_schema),
        _ => false,
    };
    if lacks_schema {
        Duration::from_millis(policy.schema_wait_ms)
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            attempts: 3,
            first_pause_ms: 100,
            longest_pause_ms: 1_000,
            schema_wait_ms: 60_000,
        }
    }

    fn record(offset: i64) -> Record {
        Record {
            topic: "mesh.things".to_owned(),
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: None,
            headers: platform_log::Headers::default(),
            value: None,
        }
    }

    #[test]
    fn tries_are_counted_for_each_record() {
        let mut tries = Tries::default();
        let kept = kept(&policy());
        let now = Duration::from_secs(60);
        let later = now + Duration::from_secs(5);
        assert_eq!(tries.note(&record(4), now, kept), (1, Duration::ZERO));
        assert_eq!(tries.note(&record(4), later, kept), (2, later - now));
        assert_eq!(tries.note(&record(5), later, kept), (1, Duration::ZERO));
        assert_eq!(tries.count(&record(4)), 2);
        tries.forget(&record(4));
        assert_eq!((tries.count(&record(4)), tries.count(&record(5))), (0, 1));
    }

    #[test]
    fn two_on_trial_at_once_are_both_given_up() {
        let mut tries = Tries::default();
        let kept = kept(&policy());
        let counted: Vec<u32> = [10, 5, 10, 5, 10, 5]
            .into_iter()
            .zip(1..)
            .map(|(offset, second)| {
                let now = Duration::from_secs(second);
                tries.note(&record(offset), now, kept).0
            })
            .collect();
        assert_eq!(counted, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn what_is_not_tried_again_is_forgotten() {
        let mut tries = Tries::default();
        let kept = kept(&policy());
        tries.note(&record(4), Duration::ZERO, kept);
        tries.note(&record(5), kept, kept);
        assert_eq!(tries.count(&record(4)), 1);
        tries.note(&record(5), kept + Duration::from_millis(1), kept);
        assert_eq!((tries.count(&record(4)), tries.count(&record(5))), (0, 2));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u128> = [1, 2, 3, 4, 5, 100]
            .map(|attempts| pause(&policy(), attempts).as_millis())
            .to_vec();
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn an_unknown_schema_is_given_time() {
        let lacking = Failure::from(DecodeError::Schema {
            source: platform_log::Error::UnknownSchema { id: 7 },
        });
        assert_eq!(patience(&policy(), &lacking), Duration::from_secs(60));
        let other = Failure::suspect("it does not like me");
        assert_eq!(patience(&policy(), &other), Duration::ZERO);
    }
}
