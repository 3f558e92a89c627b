use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::digest::Offsets;

/// Up to where a read model is built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Until {
    /// To the end of the log, and on to where the live one is.
    #[default]
    End,
    /// By topic and partition, the offset before which reading ends. Partitions
    /// that are not named are read to their end.
    Offsets(Vec<(String, i32, i64)>),
    /// In each partition, up to the first record not older than this, in
    /// milliseconds since 1970.
    Time(i64),
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("end"),
            Self::Time(millis) => write!(f, "time {millis}"),
            Self::Offsets(offsets) => {
                let mut sorted = offsets.clone();
                sorted.sort();
                f.write_str("offsets")?;
                for (topic, partition, offset) in sorted {
                    write!(f, " {topic}/{partition}={offset}")?;
                }
                Ok(())
            }
        }
    }
}

/// How to rebuild.
#[derive(Debug, Clone)]
pub struct RebuildOptions {
    pub until: Until,
    /// Keeps what was built beside the live one under this name, and swaps
    /// nothing. What stands under the name already is gone on with, if it is the
    /// same that was asked for; else it is dropped.
    pub keep_as: Option<String>,
    /// Compares with the live one at the same offsets before the swap.
    pub check: bool,
    /// Drops what an interrupted rebuild left instead of going on with it.
    pub fresh: bool,
    pub progress: ProgressSink,
    /// Ends the rebuild after the batch under way.
    pub stop: CancellationToken,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self {
            until: Until::End,
            keep_as: None,
            check: true,
            fresh: false,
            progress: ProgressSink::none(),
            stop: CancellationToken::new(),
        }
    }
}

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reads the log into the shadow.
    Replaying,
    /// Makes the keys and indexes.
    Indexing,
    /// Compares shadow and live.
    Comparing,
    /// Reads what was appended meanwhile.
    CatchingUp,
    /// Keeps the live runner out and swaps.
    Swapping,
    /// What was built is served; drops what it replaced.
    CleaningUp,
}

impl Stage {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaying => "replaying",
            Self::Indexing => "indexing",
            Self::Comparing => "comparing",
            Self::CatchingUp => "catching up",
            Self::Swapping => "swapping",
            Self::CleaningUp => "cleaning up",
        }
    }
}

/// How far a stage has come, in records of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    pub done: u64,
    /// 0 where there is nothing to count.
    pub total: u64,
}

/// Who is told of progress.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Fn(Progress) + Send + Sync>);

impl ProgressSink {
    pub fn new(tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// For whoever does not care.
    pub fn none() -> Self {
        Self::new(|_| ())
    }

    pub(super) fn tell(&self, stage: Stage, done: u64, total: u64) {
        (self.0)(Progress { stage, done, total });
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressSink")
    }
}

/// What came of comparing the shadow with the live one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The same rows at the same offsets.
    Same,
    /// Not the same: in these partitions, and perhaps in what no partition can be
    /// told of. What was built from the log is right.
    Differs {
        partitions: Vec<i32>,
        unplaced: bool,
    },
    /// There was nothing to compare with, and why.
    NotComparable(String),
    /// Nobody asked.
    Skipped,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Records read.
    pub records: u64,
    /// Records that an interrupted rebuild had read before.
    pub resumed_at: u64,
    /// How long the live runner was kept out; none when nothing was swapped.
    pub kept_out: Option<Duration>,
    /// Where it ends.
    pub offsets: Offsets,
    pub checked: Checked,
}

/// The longest name of a shadow.
const LONGEST_NAME: usize = 30;

/// Whether a shadow may have this name: it becomes part of a schema's, a key's
/// and a directory's.
///
/// # Errors
/// With what is wrong about it.
pub fn shadow_name(name: &str) -> Result<(), String> {
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !well_formed || name.len() > LONGEST_NAME {
        return Err(format!(
            "{name} is no name: it begins with a letter, has letters a to z, digits and dashes, and at most {LONGEST_NAME} of them"
        ));
    }
    if [NEXT, platform_postgres::RETIRED].contains(&name) {
        return Err(format!("{name} has a meaning of its own"));
    }
    Ok(())
}

/// The name of the shadow that is to be swapped in.
pub(super) const NEXT: &str = "next";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_not_taken() {
        assert_eq!(shadow_name("before-the-incident-7"), Ok(()));
        for name in ["", "7a", "A", "a b", "a__b", "next", "retired", "é"] {
            assert!(shadow_name(name).is_err(), "{name}");
        }
        assert!(shadow_name(&"a".repeat(31)).is_err());
    }

    #[test]
    fn the_same_request_reads_the_same() {
        let of = |offsets: &[(&str, i32, i64)]| {
            let offsets = offsets
                .iter()
                .map(|(topic, partition, offset)| ((*topic).to_owned(), *partition, *offset));
            Until::Offsets(offsets.collect()).to_string()
        };
        assert_eq!(of(&[("b", 1, 2), ("a", 0, 7)]), "offsets a/0=7 b/1=2");
        assert_eq!(of(&[("a", 0, 7), ("b", 1, 2)]), "offsets a/0=7 b/1=2");
    }
}
