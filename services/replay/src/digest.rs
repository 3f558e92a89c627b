//! Digests as they are written down, and what differs between two of them.

use std::collections::{BTreeMap, BTreeSet};

use platform_projector::{Digested, Offsets, Part};
use serde::{Deserialize, Serialize};

use crate::ReadModel;

/// What a read model holds at a checkpoint, as `replay digest --json` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub read_model: ReadModel,
    /// Of all rows: the sum of the digests of the partitions.
    pub digest: String,
    pub rows: u64,
    /// By topic and partition, the next offset; everything before it is in.
    pub offsets: Offsets,
    /// By partition, and `-` for what cannot be placed.
    pub partitions: BTreeMap<String, PartDigest>,
    /// False for a store that was written to all the while.
    pub settled: bool,
}

/// What one partition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDigest {
    pub digest: String,
    pub rows: u64,
}

/// Under which what cannot be placed is listed.
const UNPLACED: &str = "-";

impl PartDigest {
    fn of(part: Part) -> Self {
        Self {
            digest: part.digest.to_string(),
            rows: part.rows,
        }
    }
}

impl Digest {
    pub(crate) fn of(read_model: ReadModel, digested: &Digested) -> Self {
        let whole = digested.whole();
        let mut partitions: BTreeMap<String, PartDigest> = digested
            .partitions
            .iter()
            .map(|(partition, part)| (partition.to_string(), PartDigest::of(*part)))
            .collect();
        if digested.unplaced.rows > 0 {
            let unplaced = PartDigest::of(digested.unplaced);
            partitions.insert(UNPLACED.to_owned(), unplaced);
        }
        Self {
            read_model,
            digest: whole.digest.to_string(),
            rows: whole.rows,
            offsets: digested.offsets.clone(),
            partitions,
            settled: digested.settled,
        }
    }

    fn rows_of(&self, partition: &str) -> u64 {
        self.partitions.get(partition).map_or(0, |part| part.rows)
    }

    /// Where a partition stands in each topic; what stands at 0 is as if it were
    /// not there. For what cannot be placed: where all of them stand.
    fn at(&self, partition: &str) -> BTreeMap<(&str, i32), i64> {
        let number: Option<i32> = partition.parse().ok();
        self.offsets
            .iter()
            .flat_map(|(topic, offsets)| {
                offsets
                    .iter()
                    .map(|(partition, offset)| ((topic.as_str(), *partition), *offset))
            })
            .filter(|((_, partition), offset)| {
                *offset > 0 && number.is_none_or(|number| number == *partition)
            })
            .collect()
    }
}

/// What comparing one read model here with the same one there showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    pub read_model: ReadModel,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// The same rows at the same checkpoint.
    Same,
    Differs {
        /// Not the same rows at the same offsets.
        partitions: Vec<Difference>,
        /// At other offsets here than there, so nothing follows from them.
        elsewhere: Vec<String>,
    },
    /// No partition differs, but these stand at other offsets here than there.
    Elsewhere { partitions: Vec<String> },
    /// There is nothing to compare with, and why.
    Missing { why: String },
}

/// A partition that holds other rows here than there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub partition: String,
    pub rows_here: u64,
    pub rows_there: u64,
}

/// Compares partition by partition, those that stand at the same offsets.
pub fn compare(here: &Digest, there: &Digest) -> Verdict {
    if !here.settled || !there.settled {
        return Verdict::Missing {
            why: "it was written to while it was read, so it is of no single checkpoint".to_owned(),
        };
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    for digest in [here, there] {
        names.extend(digest.partitions.keys().cloned());
        names.extend(
            digest
                .offsets
                .values()
                .flat_map(BTreeMap::keys)
                .map(ToString::to_string),
        );
    }
    let mut differing = Vec::new();
    let mut elsewhere = Vec::new();
    for name in names {
        if here.at(&name) != there.at(&name) {
            elsewhere.push(name);
        } else if here.partitions.get(&name) != there.partitions.get(&name) {
            differing.push(Difference {
                rows_here: here.rows_of(&name),
                rows_there: there.rows_of(&name),
                partition: name,
            });
        }
    }
    match (differing.is_empty(), elsewhere.is_empty()) {
        (true, true) => Verdict::Same,
        (true, false) => Verdict::Elsewhere {
            partitions: elsewhere,
        },
        (false, _) => Verdict::Differs {
            partitions: differing,
            elsewhere,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[(&str, i64, &str)]) -> Digest {
        let mut offsets = Offsets::new();
        let mut partitions = BTreeMap::new();
        for (partition, offset, digest) in parts {
            if let Ok(number) = partition.parse() {
                let of_topic = offsets.entry("t".to_owned()).or_default();
                of_topic.insert(number, *offset);
            }
            let part = PartDigest {
                digest: (*digest).to_owned(),
                rows: 1,
            };
            partitions.insert((*partition).to_owned(), part);
        }
        Digest {
            read_model: ReadModel::Audit,
            digest: String::new(),
            rows: 0,
            offsets,
            partitions,
            settled: true,
        }
    }

    #[test]
    fn only_what_stands_at_the_same_offsets_is_compared() {
        let here = digest(&[("0", 5, "a"), ("1", 7, "b")]);
        assert_eq!(compare(&here, &here), Verdict::Same);
        let ahead = digest(&[("0", 5, "a"), ("1", 8, "c")]);
        let elsewhere = vec!["1".to_owned()];
        assert_eq!(
            compare(&here, &ahead),
            Verdict::Elsewhere {
                partitions: elsewhere.clone()
            }
        );
        let other = digest(&[("0", 5, "x"), ("1", 8, "c")]);
        let difference = Difference {
            partition: "0".to_owned(),
            rows_here: 1,
            rows_there: 1,
        };
        assert_eq!(
            compare(&here, &other),
            Verdict::Differs {
                partitions: vec![difference],
                elsewhere
            }
        );
    }

    #[test]
    fn what_cannot_be_placed_is_compared_when_all_stands_still() {
        let here = digest(&[("0", 5, "a"), ("-", 0, "b")]);
        let there = digest(&[("0", 5, "a"), ("-", 0, "c")]);
        assert!(matches!(
            compare(&here, &there),
            Verdict::Differs { partitions, .. } if partitions[0].partition == "-"
        ));
        let ahead = digest(&[("0", 6, "a"), ("-", 0, "c")]);
        assert!(matches!(
            compare(&here, &ahead),
            Verdict::Elsewhere { partitions } if partitions == ["-", "0"]
        ));
    }

    #[test]
    fn a_partition_nobody_has_read_is_as_if_it_were_not_there() {
        let here = digest(&[("0", 5, "a")]);
        let mut there = here.clone();
        there.offsets.get_mut("t").unwrap().insert(3, 0);
        assert_eq!(compare(&here, &there), Verdict::Same);
    }
}
