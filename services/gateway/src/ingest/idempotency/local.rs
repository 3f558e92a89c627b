use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use domain_kernel::CorrelationId;

use super::claim::{Answer, BodyDigest};

/// Powers of two only: a shard is picked by the lowest bits of the id.
const SHARDS: usize = 64;
/// Answers kept in one shard; the oldest make room.
const ANSWERS: usize = 1_024;

/// What this process remembers. Bounded; split, so that requests do not wait for
/// one another.
#[derive(Debug)]
pub(super) struct LocalSet {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<CorrelationId, Entry>,
    answered: VecDeque<CorrelationId>,
}

#[derive(Debug, Clone)]
enum Entry {
    InFlight,
    Answered { digest: BodyDigest, body: Bytes },
}

/// What is known of an id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing; it is in flight from now on.
    Nothing,
    InFlight,
    Answered(BodyDigest, Answer),
}

impl LocalSet {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Marks an id as in flight unless something is known of it.
    pub(super) fn begin(&self, id: CorrelationId) -> Known {
        let mut shard = self.shard(id);
        match shard.entries.get(&id) {
            Some(Entry::InFlight) => Known::InFlight,
            Some(Entry::Answered { digest, body }) => {
                Known::Answered(*digest, Answer::from_body(body.clone()))
            }
            None => {
                shard.entries.insert(id, Entry::InFlight);
                Known::Nothing
            }
        }
    }

    /// The answer given under an id, if it is remembered.
    pub(super) fn answer(&self, id: CorrelationId) -> Option<Answer> {
        match self.shard(id).entries.get(&id) {
            Some(Entry::Answered { body, .. }) => Some(Answer::from_body(body.clone())),
            _ => None,
        }
    }

    pub(super) fn answered(&self, id: CorrelationId, digest: BodyDigest, answer: &Answer) {
        let mut shard = self.shard(id);
        let entry = Entry::Answered {
            digest,
            body: answer.body().clone(),
        };
        if let Some(Entry::Answered { .. }) = shard.entries.insert(id, entry) {
            return;
        }
        shard.answered.push_back(id);
        if shard.answered.len() > ANSWERS
            && let Some(oldest) = shard.answered.pop_front()
        {
            shard.entries.remove(&oldest);
        }
    }

    /// Takes back `begin`. An answer that came meanwhile stays.
    pub(super) fn forget(&self, id: CorrelationId) {
        let mut shard = self.shard(id);
        if let Some(Entry::InFlight) = shard.entries.get(&id) {
            shard.entries.remove(&id);
        }
    }

    fn shard(&self, id: CorrelationId) -> MutexGuard<'_, Shard> {
        let lowest = usize::from(id.as_uuid().as_bytes()[15]);
        self.shards[lowest & (SHARDS - 1)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: BodyDigest = BodyDigest::of_bytes([1; 32]);

    fn id(n: usize) -> CorrelationId {
        CorrelationId::of_delivery("s", &n.to_string())
    }

    fn answer() -> Answer {
        Answer::from_body(Bytes::from_static(b"{}"))
    }

    #[test]
    fn one_at_a_time_until_it_is_forgotten_or_answered() {
        let set = LocalSet::new();
        assert_eq!(set.begin(id(1)), Known::Nothing);
        assert_eq!(set.begin(id(1)), Known::InFlight);
        assert_eq!(set.begin(id(2)), Known::Nothing);
        set.forget(id(1));
        assert_eq!(set.begin(id(1)), Known::Nothing);
        set.answered(id(1), DIGEST, &answer());
        set.forget(id(1));
        assert_eq!(set.begin(id(1)), Known::Answered(DIGEST, answer()));
        assert_eq!(set.answer(id(1)), Some(answer()));
        assert_eq!(set.answer(id(2)), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_flight_stays() {
        let set = LocalSet::new();
        assert_eq!(set.begin(id(0)), Known::Nothing);
        for n in 1..3 * SHARDS * ANSWERS {
            set.answered(id(n), DIGEST, &answer());
        }
        let held: usize = set
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().entries.len())
            .sum();
        assert!(held <= SHARDS * ANSWERS + 1, "{held}");
        assert_eq!(set.begin(id(0)), Known::InFlight);
    }
}
