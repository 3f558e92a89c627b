use std::collections::BTreeSet;

use super::Checked;
use crate::Digested;

/// Compares what was built with the live one.
pub(super) fn compare(live: &Digested, built: &Digested) -> Checked {
    if !live.settled || !built.settled {
        return Checked::NotComparable("it was written to while it was read".to_owned());
    }
    if live.offsets != built.offsets {
        return Checked::NotComparable("the log went on meanwhile".to_owned());
    }
    let numbers: BTreeSet<i32> = live
        .partitions
        .keys()
        .chain(built.partitions.keys())
        .copied()
        .collect();
    let partitions: Vec<i32> = numbers
        .into_iter()
        .filter(|number| live.partitions.get(number) != built.partitions.get(number))
        .collect();
    let unplaced = live.unplaced != built.unplaced;
    if partitions.is_empty() && !unplaced {
        Checked::Same
    } else {
        Checked::Differs {
            partitions,
            unplaced,
        }
    }
}
