use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use platform_postgres::{Claimed, Resolution};

use super::world::Fate;
use crate::guard::{Guard, stands};
use crate::session::Halt;
use crate::world::{StateRow, StateStore, Store, WriteError};

#[derive(Debug, Clone)]
struct Checkpoint {
    next_offset: i64,
    generation: i64,
    owner: String,
}

/// What the projection of the simulation keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many records of each topic partition were applied. Guarded by nothing
    /// but the checkpoint, so a record applied twice shows.
    pub(super) applied: BTreeMap<(String, i32), u64>,
    /// Version and total of each stream; the first one of a version wins.
    pub(super) totals: BTreeMap<String, (u64, u64)>,
    /// Guarded by event id.
    pub(super) seen: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    checkpoints: BTreeMap<(String, i32), Checkpoint>,
    pub(super) states: BTreeMap<String, StateRow>,
    intents: BTreeMap<i32, String>,
    pub(super) tally: Tally,
}

impl Tables {
    /// As if it was claimed so many times before, and nothing read.
    pub(super) fn claimed_before(&mut self, topic: &str, partition: i32, times: i64) {
        let before = Checkpoint {
            next_offset: 0,
            generation: times,
            owner: String::new(),
        };
        self.checkpoints
            .insert((topic.to_owned(), partition), before);
    }

    pub(super) fn next_offset(&self, topic: &str, partition: i32) -> i64 {
        self.checkpoints
            .get(&(topic.to_owned(), partition))
            .map_or(0, |checkpoint| checkpoint.next_offset)
    }

    fn holds(&self, claim: &Claimed, owner: &str) -> bool {
        self.checkpoints
            .get(&(claim.topic.clone(), claim.partition))
            .is_some_and(|found| found.generation == claim.generation && found.owner == owner)
    }
}

/// Transactions that happen at one moment, all or nothing: the moment of the
/// commit in a database that holds the rows of the checkpoints locked until then.
#[derive(Clone)]
pub(super) struct SimStore {
    tables: Arc<Mutex<Tables>>,
    fate: Fate,
}

impl SimStore {
    pub(super) fn new(tables: &Arc<Mutex<Tables>>, fate: &Fate) -> Self {
        Self {
            tables: Arc::clone(tables),
            fate: fate.clone(),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    /// Moves the checkpoints and changes the tables, or neither.
    pub(super) async fn transact(
        &self,
        upto: &[Claimed],
        change: impl FnOnce(&mut Tables) + Send,
    ) -> Result<(), WriteError> {
        self.fate.pass("begin").await;
        if self.fate.fails("begin") {
            return Err(away().into());
        }
        let lost = self.fate.nature.fault(25);
        if lost && self.fate.nature.chance.one_in(2) {
            self.told("commit lost on the way out", upto);
            self.fate.pass("no answer to commit").await;
            return Err(WriteError::Unknown(away()));
        }
        {
            let mut tables = self.tables();
            let fenced = !upto
                .iter()
                .all(|claim| tables.holds(claim, &self.fate.name));
            if fenced && stands(Guard::Generation) {
                self.told("commit refused, fenced", upto);
                return Err(Halt::Fenced.into());
            }
            for claim in upto {
                if let Some(checkpoint) = tables
                    .checkpoints
                    .get_mut(&(claim.topic.clone(), claim.partition))
                {
                    checkpoint.next_offset = claim.next_offset;
                }
            }
            change(&mut tables);
        }
        self.told("committed", upto);
        self.fate.pass("committed").await;
        if lost {
            self.told("answer to commit lost", upto);
            return Err(WriteError::Unknown(away()));
        }
        Ok(())
    }

    fn told(&self, what: &str, upto: &[Claimed]) {
        if !self.fate.nature.is_told() {
            return;
        }
        let upto: Vec<String> = upto
            .iter()
            .map(|claim| {
                format!(
                    "{}/{}@{} g{}",
                    claim.topic, claim.partition, claim.next_offset, claim.generation
                )
            })
            .collect();
        self.fate
            .nature
            .tell(&self.fate.name, format_args!("{what}: {}", upto.join(", ")));
    }
}

fn away() -> Halt {
    Halt::transient("the store is away")
}

impl Store for SimStore {
    fn owner(&self) -> &str {
        &self.fate.name
    }

    async fn claim(&self, partitions: &[(&str, i32)]) -> Result<(Vec<Claimed>, String), Halt> {
        self.fate.pass("claim").await;
        if self.fate.fails("claim") {
            return Err(away());
        }
        let claims: Vec<Claimed> = {
            let mut tables = self.tables();
            partitions
                .iter()
                .map(|(topic, partition)| {
                    let checkpoint = tables
                        .checkpoints
                        .entry(((*topic).to_owned(), *partition))
                        .or_insert(Checkpoint {
                            next_offset: 0,
                            generation: 0,
                            owner: String::new(),
                        });
                    checkpoint.generation += 1;
                    checkpoint.owner = self.fate.name.to_string();
                    Claimed {
                        topic: (*topic).to_owned(),
                        partition: *partition,
                        next_offset: checkpoint.next_offset,
                        generation: checkpoint.generation,
                    }
                })
                .collect()
        };
        self.told("claimed", &claims);
        self.fate.pass("claimed").await;
        Ok((claims, "the only one".to_owned()))
    }

    async fn verify(&self, claims: &[Claimed]) -> Result<(), Halt> {
        self.fate.pass("verify").await;
        let tables = self.tables();
        let holds = claims
            .iter()
            .all(|claim| tables.holds(claim, &self.fate.name));
        if holds || !stands(Guard::Generation) {
            Ok(())
        } else {
            Err(Halt::Fenced)
        }
    }

    async fn inspect(&self, _incarnation: Option<&str>) -> Result<(), Halt> {
        Ok(())
    }

    async fn repair(&self, _anew: Option<&str>) -> Result<(), Halt> {
        Ok(())
    }

    async fn advance(&self, upto: &[Claimed]) -> Result<(), WriteError> {
        self.transact(upto, |_| {}).await
    }

    async fn resolve(&self, upto: &[Claimed]) -> Result<Resolution, Halt> {
        self.fate.pass("resolve").await;
        if self.fate.fails("resolve") {
            return Err(away());
        }
        let tables = self.tables();
        if !upto
            .iter()
            .all(|claim| tables.holds(claim, &self.fate.name))
        {
            return Ok(Resolution::Fenced);
        }
        let committed = upto
            .iter()
            .all(|claim| tables.next_offset(&claim.topic, claim.partition) == claim.next_offset);
        Ok(if committed {
            Resolution::Committed
        } else {
            Resolution::NotCommitted
        })
    }
}

impl StateStore for SimStore {
    async fn load(&self, streams: &[&str]) -> Result<Vec<StateRow>, Halt> {
        self.fate.pass("load").await;
        if self.fate.fails("load") {
            return Err(away());
        }
        let tables = self.tables();
        Ok(streams
            .iter()
            .filter_map(|stream| tables.states.get(*stream).cloned())
            .collect())
    }

    async fn due(&self, partitions: &[i32], now: i64, limit: i64) -> Result<Vec<StateRow>, Halt> {
        let tables = self.tables();
        Ok(tables
            .states
            .values()
            .filter(|row| partitions.contains(&row.partition))
            .filter(|row| row.wake_at.is_some_and(|at| at <= now))
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn postpone(&self, streams: &[String], now: i64, until: i64) -> Result<(), Halt> {
        let mut tables = self.tables();
        for stream in streams {
            if let Some(row) = tables.states.get_mut(stream)
                && row.wake_at.is_some_and(|at| at <= now)
            {
                row.wake_at = Some(until);
            }
        }
        Ok(())
    }

    async fn intend(&self, notes: &[(i32, String)], claims: &[Claimed]) -> Result<(), WriteError> {
        self.transact(claims, |tables| {
            tables.intents.extend(notes.iter().cloned())
        })
        .await
    }

    async fn intended(&self, partition: i32) -> Result<Option<String>, Halt> {
        self.fate.pass("intended").await;
        if self.fate.fails("intended") {
            return Err(away());
        }
        Ok(self.tables().intents.get(&partition).cloned())
    }

    async fn save(&self, rows: &[StateRow], upto: &[Claimed]) -> Result<(), WriteError> {
        self.transact(upto, |tables| {
            for row in rows {
                let newer = tables
                    .states
                    .get(&row.stream)
                    .is_none_or(|known| known.version <= row.version);
                if newer {
                    tables.states.insert(row.stream.clone(), row.clone());
                }
            }
        })
        .await
    }
}
