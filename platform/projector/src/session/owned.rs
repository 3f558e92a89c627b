use std::collections::{BTreeMap, HashMap};

use platform_log::Record;
use platform_postgres::Claimed;
use tracing::warn;

use super::Batch;

/// What this runner owns, and where in each topic partition it reads.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    /// By partition number; `next_offset` is where the next record is expected.
    partitions: BTreeMap<i32, Vec<Claimed>>,
    /// Gaps met once, as (expected, found): believed when met again.
    gaps: HashMap<(String, i32), (i64, i64)>,
}

/// A batch, and where to seek because the reader was ahead of the expected offset.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) batch: Batch,
    pub(crate) seek: Vec<Claimed>,
}

impl Owned {
    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub(crate) fn contains(&self, partition: i32) -> bool {
        self.partitions.contains_key(&partition)
    }

    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.partitions.keys().copied().collect()
    }

    pub(crate) fn claims(&self) -> Vec<Claimed> {
        self.partitions.values().flatten().cloned().collect()
    }

    pub(crate) fn insert(&mut self, claims: Vec<Claimed>) {
        for claim in claims {
            self.partitions
                .entry(claim.partition)
                .or_default()
                .push(claim);
        }
    }

    /// Expects the record at `offset` next, though it was admitted before.
    pub(crate) fn rewind(&mut self, topic: &str, partition: i32, offset: i64) {
        let claim = self
            .partitions
            .get_mut(&partition)
            .and_then(|claims| claims.iter_mut().find(|claim| claim.topic == topic));
        if let Some(claim) = claim {
            claim.next_offset = offset;
        }
    }

    pub(crate) fn remove(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
    }

    /// Takes the records that are next in their partition. A record of a
    /// partition that is not owned, or from before the expected offset, is left
    /// out: it was fetched before a claim or a seek. A record from beyond it is
    /// not trusted the first time, because skipping would lose events; when a
    /// seek finds the same gap again, the log really has no such records.
    pub(crate) fn admit(&mut self, records: Vec<Record>) -> Admitted {
        let mut admitted = Vec::with_capacity(records.len());
        let mut seek: Vec<Claimed> = Vec::new();
        let mut touched: Vec<(i32, usize)> = Vec::new();
        for record in records {
            let Some(claims) = self.partitions.get_mut(&record.partition) else {
                continue;
            };
            let Some(index) = claims.iter().position(|claim| claim.topic == record.topic) else {
                continue;
            };
            let claim = &mut claims[index];
            if record.offset < claim.next_offset {
                continue;
            }
            if record.offset > claim.next_offset {
                let key = (record.topic.clone(), record.partition);
                let gap = (claim.next_offset, record.offset);
                if self.gaps.get(&key) != Some(&gap) {
                    if !seek.iter().any(|known| {
                        known.topic == claim.topic && known.partition == claim.partition
                    }) {
                        self.gaps.insert(key, gap);
                        seek.push(claim.clone());
                    }
                    continue;
                }
                self.gaps.remove(&key);
                if claim.next_offset > 0 {
                    warn!(messaging.destination.name = %record.topic, messaging.kafka.partition = record.partition, offset.expected = gap.0, offset.found = gap.1, "the log has no records between these offsets");
                }
            }
            claim.next_offset = record.offset + 1;
            if !touched.contains(&(record.partition, index)) {
                touched.push((record.partition, index));
            }
            admitted.push(record);
        }
        let upto = touched
            .into_iter()
            .filter_map(|(partition, index)| self.partitions.get(&partition)?.get(index).cloned())
            .collect();
        Admitted {
            batch: Batch {
                records: admitted,
                upto,
            },
            seek,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> Record {
        Record {
            topic: "mesh.things".to_owned(),
            partition,
            offset,
            timestamp_ms: 0,
            key: None,
            headers: platform_log::Headers::default(),
            value: None,
        }
    }

    fn owned(next_offset: i64) -> Owned {
        let mut owned = Owned::default();
        owned.insert(vec![Claimed {
            topic: "mesh.things".to_owned(),
            partition: 1,
            next_offset,
            generation: 1,
        }]);
        owned
    }

    fn offsets(admitted: &Admitted) -> Vec<i64> {
        admitted
            .batch
            .records
            .iter()
            .map(|record| record.offset)
            .collect()
    }

    #[test]
    fn what_was_read_or_is_not_owned_is_left_out() {
        let admitted = owned(5).admit(vec![record(1, 4), record(2, 5), record(1, 5), record(1, 6)]);
        assert_eq!(offsets(&admitted), [5, 6]);
        assert_eq!(admitted.batch.upto[0].next_offset, 7);
        assert_eq!(admitted.seek, []);
    }

    #[test]
    fn a_gap_is_read_again_before_it_is_believed() {
        let mut owned = owned(5);
        let first = owned.admit(vec![record(1, 8), record(1, 9)]);
        assert_eq!(offsets(&first), [0i64; 0]);
        assert_eq!(first.seek[0].next_offset, 5);
        let second = owned.admit(vec![record(1, 8), record(1, 9)]);
        assert_eq!(offsets(&second), [8, 9]);
        assert_eq!(second.seek, []);
    }

    #[test]
    fn a_stale_fetch_ahead_of_a_seek_loses_nothing() {
        let mut owned = owned(5);
        owned.admit(vec![record(1, 8)]);
        let again = owned.admit(vec![record(1, 5), record(1, 6), record(1, 7), record(1, 8)]);
        assert_eq!(offsets(&again), [5, 6, 7, 8]);
    }
}
