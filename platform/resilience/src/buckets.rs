use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::{Bucket, Quota, Standing};

/// Powers of two only: a shard is picked by the lowest bits of the hash.
const SHARDS: usize = 16;

/// A bucket for each key. Bounded: whoever invents keys makes older ones be
/// forgotten, which gives them a full bucket again and costs no memory.
#[derive(Debug)]
pub struct Buckets<K> {
    shards: Vec<Mutex<Shard<K>>>,
    /// Keys of one shard in one generation.
    limit: usize,
    hasher: RandomState,
}

/// Two generations: what was used since the last exchange, and what was before.
#[derive(Debug)]
struct Shard<K> {
    present: HashMap<K, Bucket>,
    former: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Buckets<K> {
    /// Remembers the last `keys` keys at least, and twice as many at most.
    pub fn new(keys: usize) -> Self {
        let shards = (0..SHARDS).map(|_| {
            Mutex::new(Shard {
                present: HashMap::new(),
                former: HashMap::new(),
            })
        });
        Self {
            shards: shards.collect(),
            limit: keys.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
        }
    }

    /// Takes a token from the bucket of `key`.
    pub fn take(&self, key: K, quota: &Quota, now: Instant) -> Standing {
        let shard = self.hasher.hash_one(&key) as usize & (SHARDS - 1);
        let mut shard = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = shard.present.get_mut(&key) {
            return bucket.take(quota, now);
        }
        let mut bucket = shard.former.remove(&key).unwrap_or_default();
        let standing = bucket.take(quota, now);
        if shard.present.len() >= self.limit {
            shard.former = std::mem::take(&mut shard.present);
        }
        shard.present.insert(key, bucket);
        standing
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.present.len() + shard.former.len()
            })
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_and_memory_is_bounded() {
        let quota = Quota::new(1.0, 1).unwrap();
        let buckets = Buckets::new(160);
        let now = Instant::now();
        assert!(buckets.take(0_u32, &quota, now).admitted);
        assert!(!buckets.take(0, &quota, now).admitted);
        assert!(buckets.take(1, &quota, now).admitted);
        for key in 2..10_000 {
            assert!(buckets.take(key, &quota, now).admitted);
        }
        assert!(buckets.len() <= 320, "{}", buckets.len());
        // Used a moment ago, so not forgotten.
        assert!(!buckets.take(9_999, &quota, now).admitted);
    }
}
