//! What a read model holds, as one figure a partition and one for all of it,
//! together with the offsets it is a fold of.

mod pg;
mod store;
mod sum;

use std::collections::BTreeMap;

pub use pg::{digest, digest_of, digest_of_schema};
pub use store::{store_digest, store_digest_of};
pub use sum::Digest;

/// By topic, the next offset of each partition: everything before it is folded in.
pub type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// The digest of some rows and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    pub digest: Digest,
    pub rows: u64,
}

impl Part {
    fn add(&mut self, row: &str) {
        self.digest.add(row);
        self.rows += 1;
    }
}

/// What a read model holds at a checkpoint.
///
/// A row belongs to the partition of the records it is made from. Where it does
/// not say which that is, the partition is derived from the key of the records
/// as a producer would. What cannot be placed, such as the answer to a request
/// that was not read yet, counts as `unplaced`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digested {
    pub partitions: BTreeMap<i32, Part>,
    pub unplaced: Part,
    pub offsets: Offsets,
    /// False when a store without snapshots was written to all the while, so
    /// that the digest is of no single checkpoint.
    pub settled: bool,
}

impl Digested {
    /// Of all rows.
    pub fn whole(&self) -> Part {
        let mut whole = self.unplaced;
        for part in self.partitions.values() {
            whole.digest.merge(&part.digest);
            whole.rows += part.rows;
        }
        whole
    }

    /// Where a partition stands in each topic.
    pub fn at(&self, partition: i32) -> BTreeMap<&str, i64> {
        self.offsets
            .iter()
            .filter_map(|(topic, offsets)| Some((topic.as_str(), *offsets.get(&partition)?)))
            .collect()
    }

    fn add(&mut self, partition: Option<i32>, row: &str) {
        match partition {
            Some(partition) => self.partitions.entry(partition).or_default().add(row),
            None => self.unplaced.add(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_the_sum_of_its_partitions() {
        let mut digested = Digested::default();
        digested.add(Some(0), "a");
        digested.add(Some(3), "b");
        digested.add(None, "c");
        let whole = digested.whole();
        assert_eq!(whole.digest, Digest::of(["a", "b", "c"]));
        assert_eq!(whole.rows, 3);
    }
}
