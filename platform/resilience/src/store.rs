use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Powers of two only: a shard is picked by the lowest bits of the hash.
const SHARDS: usize = 16;

/// What a limiter of governor remembers of each key. Bounded, unlike governor's
/// own stores: whoever invents keys makes older ones be forgotten, which gives
/// them a full bucket again and costs no memory.
#[derive(Debug)]
pub(crate) struct BoundedStore<K> {
    shards: Vec<Mutex<Shard<K>>>,
    /// Keys of one shard in one generation.
    limit: usize,
    hasher: RandomState,
}

/// Two generations: what was used since the last exchange, and what was before.
#[derive(Debug)]
struct Shard<K> {
    present: HashMap<K, Nanos>,
    former: HashMap<K, Nanos>,
}

impl<K: Hash + Eq> BoundedStore<K> {
    /// Remembers the last `keys` keys at least, and twice as many at most.
    pub(crate) fn new(keys: usize) -> Self {
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
}

impl<K: Hash + Eq + Clone> StateStore for BoundedStore<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let shard = self.hasher.hash_one(key) as usize & (SHARDS - 1);
        let mut shard = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = shard.present.get_mut(key) {
            let (outcome, next) = decide(Some(*state))?;
            *state = next;
            return Ok(outcome);
        }
        let former = shard.former.remove(key);
        let decided = decide(former);
        // Who is refused has been here too, or asking on would make it forgotten.
        let state = match &decided {
            Ok((_, next)) => Some(*next),
            Err(_) => former,
        };
        if let Some(state) = state {
            if shard.present.len() >= self.limit {
                shard.former = std::mem::take(&mut shard.present);
            }
            shard.present.insert(key.clone(), state);
        }
        decided.map(|(outcome, _)| outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits each key once.
    fn take(store: &BoundedStore<u32>, key: u32) -> bool {
        let once = |state: Option<Nanos>| match state {
            None => Ok(((), Nanos::new(1))),
            Some(_) => Err(()),
        };
        store.measure_and_replace(&key, once).is_ok()
    }

    #[test]
    fn each_key_has_its_own_and_memory_is_bounded() {
        let store = BoundedStore::new(160);
        assert!(take(&store, 0));
        assert!(!take(&store, 0));
        for key in 1..10_000 {
            assert!(take(&store, key));
        }
        let mut remembered = 0;
        for shard in &store.shards {
            let shard = shard.lock().unwrap();
            remembered += shard.present.len() + shard.former.len();
        }
        assert!((160..=320).contains(&remembered), "{remembered}");
        assert!(!take(&store, 9_999), "used a moment ago, so not forgotten");
        assert!(take(&store, 0), "forgotten, so as good as new");
    }

    #[test]
    fn who_is_refused_is_not_forgotten_while_it_asks() {
        let store = BoundedStore::new(160);
        assert!(take(&store, 0));
        for key in 1..10_000 {
            take(&store, key);
            assert!(!take(&store, 0), "after {key}");
        }
    }
}
