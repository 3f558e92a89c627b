use std::collections::HashMap;
use std::time::Duration;

use platform_config::DeadLetters as Policy;
use platform_log::{DecodeError, Record};

use crate::Failure;

/// How often the record at hand was tried, for each topic partition. Counted by
/// the owner of the partition: the next one begins anew.
#[derive(Debug, Default)]
pub(super) struct Tries(HashMap<(String, i32), Tried>);

#[derive(Debug)]
struct Tried {
    offset: i64,
    attempts: u32,
    since: Duration,
}

impl Tries {
    /// Counts a try that failed; answers how many there were, and for how long.
    pub(super) fn note(&mut self, record: &Record, now: Duration) -> (u32, Duration) {
        let tried = self
            .0
            .entry((record.topic.clone(), record.partition))
            .or_insert(Tried {
                offset: record.offset,
                attempts: 0,
                since: now,
            });
        if tried.offset != record.offset {
            *tried = Tried {
                offset: record.offset,
                attempts: 0,
                since: now,
            };
        }
        tried.attempts = tried.attempts.saturating_add(1);
        (tried.attempts, now.saturating_sub(tried.since))
    }

    /// How many tries were counted of this record.
    pub(super) fn count(&self, record: &Record) -> u32 {
        self.0
            .get(&(record.topic.clone(), record.partition))
            .filter(|tried| tried.offset == record.offset)
            .map_or(0, |tried| tried.attempts)
    }
}

/// The pause after so many tries.
pub(super) fn pause(policy: &Policy, attempts: u32) -> Duration {
    let doubled = policy
        .first_pause_ms
        .saturating_mul(1 << attempts.saturating_sub(1).min(32));
    Duration::from_millis(doubled.min(policy.longest_pause_ms))
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
    fn tries_are_counted_for_the_record_at_hand() {
        let mut tries = Tries::default();
        let now = Duration::from_secs(60);
        let later = now + Duration::from_secs(5);
        assert_eq!(tries.note(&record(4), now), (1, Duration::ZERO));
        assert_eq!(tries.note(&record(4), later), (2, later - now));
        assert_eq!(tries.count(&record(4)), 2);
        assert_eq!(tries.note(&record(5), later), (1, Duration::ZERO));
        assert_eq!(tries.count(&record(4)), 0);
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
