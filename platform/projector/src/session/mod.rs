//! The life of a group member: assigned, claim, recover, work, lose, claim again.

mod classes;
mod held;
mod join;
mod lag;
mod owned;
mod reading;
mod repair;
mod run;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use platform_log::Record;
use platform_postgres::Claimed;

use self::held::Waiting;
use self::lag::Lag;
use crate::Failure;
use crate::error::chain;
use crate::world::{Log, World};

pub(crate) use classes::classes;
pub(crate) use held::Held;
pub(crate) use join::{checkpoints, group};
pub(crate) use owned::Owned;
pub(crate) use reading::run_groups;
pub(crate) use repair::repair;

/// Why a runner lets go of its partitions, to claim them again after a while.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Another owner claimed a partition, or the checkpoint is gone.
    Fenced,
    /// A rebuild holds the schema.
    Locked,
    /// Tables are missing.
    SchemaMissing,
    /// What the tables hold cannot be read by this release: they are filled anew.
    Stale(String),
    /// Something else failed for now.
    Waiting(Failure),
    /// Some records are to be tried again after a pause. All else was handled,
    /// and is committed; the runner keeps its partitions.
    Held {
        held: Vec<Held>,
        committed: Vec<Claimed>,
    },
}

impl Halt {
    pub(crate) fn transient(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Waiting(Failure::transient(error))
    }

    /// For whoever cannot keep its partitions over a pause: it lets go of them.
    pub(crate) fn into_waiting(self) -> Self {
        match self {
            Self::Held { mut held, .. } if !held.is_empty() => {
                Self::Waiting(held.swap_remove(0).failure)
            }
            other => other,
        }
    }

    pub(crate) fn stale(error: serde_json::Error) -> Self {
        Self::Stale(error.to_string())
    }

    /// For the metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Locked => "locked",
            Self::SchemaMissing => "schema_missing",
            Self::Stale(_) => "stale",
            Self::Waiting(_) => "failure",
            Self::Held { .. } => "held",
        }
    }

    /// For the readiness endpoint.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Fenced => "lost a partition to another owner".to_owned(),
            Self::Locked => "waiting for a rebuild to end".to_owned(),
            Self::SchemaMissing => "creating the missing schema".to_owned(),
            Self::Stale(what) => format!("stored states cannot be read, folding them anew: {what}"),
            Self::Waiting(failure) => chain(failure),
            Self::Held { held, .. } => held.first().map_or_else(
                || "a record is tried again".to_owned(),
                |held| chain(&held.failure),
            ),
        }
    }
}

impl From<platform_postgres::Error> for Halt {
    fn from(error: platform_postgres::Error) -> Self {
        match error {
            platform_postgres::Error::Fenced { .. } => Self::Fenced,
            platform_postgres::Error::Locked { .. } => Self::Locked,
            error if error.is_schema_missing() => Self::SchemaMissing,
            error => Self::transient(error),
        }
    }
}

impl From<platform_postgres::tokio_postgres::Error> for Halt {
    fn from(error: platform_postgres::tokio_postgres::Error) -> Self {
        platform_postgres::Error::from(error).into()
    }
}

impl From<platform_log::Error> for Halt {
    fn from(error: platform_log::Error) -> Self {
        Self::transient(error)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Waiting(failure)
    }
}

/// What a session reads and where it keeps its checkpoints.
#[derive(Debug)]
pub(crate) struct SessionOptions {
    pub(crate) name: &'static str,
    pub(crate) group: String,
    /// Consumed through the group.
    pub(crate) inputs: Vec<&'static str>,
    /// Claimed with each partition, but read by the role itself.
    pub(crate) own: Option<&'static str>,
    /// The longest wait for records, and so the pace of `Role::tick`.
    pub(crate) tick: Duration,
}

impl SessionOptions {
    fn show_ready(&self, ready: bool) {
        metrics::gauge!(crate::metric::READY, "runner" => self.name, "group" => self.group.clone())
            .set(f64::from(u8::from(ready)));
    }

    fn show_owned(&self, partitions: usize) {
        metrics::gauge!(crate::metric::OWNED, "runner" => self.name, "group" => self.group.clone())
            .set(partitions as f64);
    }
}

/// One member of one consumer group.
pub(crate) struct Session<W: World, R> {
    options: SessionOptions,
    world: W,
    consumer: <W::Log as Log>::Member,
    /// Topics and their numbers of partitions.
    widths: Vec<(&'static str, i32)>,
    assigned: BTreeSet<i32>,
    owned: Owned,
    incarnation: Option<String>,
    paused: bool,
    /// Partitions whose next record is tried again later.
    waiting: Waiting,
    /// The group has answered with an assignment, be it empty.
    joined: bool,
    /// As last reported.
    ready: bool,
    /// The consumer is of no use any more.
    rejoin: bool,
    /// Another process has this one's place in the group.
    replaced: Option<platform_log::Error>,
    wait: Duration,
    retry_at: Duration,
    checked_at: Duration,
    lag: Lag,
    role: R,
}

/// Records of owned partitions, in order within each, and how far they reach.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    /// The claims of the topic partitions touched, `next_offset` behind the last record.
    pub(crate) upto: Vec<Claimed>,
}

impl Batch {
    /// The batch in parts, in their order, of which the first has so many records
    /// and each one after it twice as many.
    pub(crate) fn parts(self, first: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut size = first.max(1);
        let mut records = self.records.into_iter().peekable();
        while records.peek().is_some() {
            let part: Vec<Record> = records.by_ref().take(size).collect();
            let upto = reaching(&self.upto, |claim| {
                let last = part.iter().rfind(|record| is_of(record, claim))?;
                Some(last.offset + 1)
            });
            parts.push(Self {
                records: part,
                upto,
            });
            size = size.saturating_mul(2);
        }
        parts
    }
}

/// The claims among `claims` that come as far as `next_offset` says; those that it
/// says nothing of are left out.
pub(crate) fn reaching(
    claims: &[Claimed],
    next_offset: impl Fn(&Claimed) -> Option<i64>,
) -> Vec<Claimed> {
    let reached = claims.iter().filter_map(|claim| {
        Some(Claimed {
            next_offset: next_offset(claim)?,
            ..claim.clone()
        })
    });
    reached.collect()
}

/// Whether a record stands in the partition of a claim.
pub(crate) fn is_of(record: &Record, claim: &Claimed) -> bool {
    record.partition == claim.partition && record.topic == claim.topic
}

/// What differs between the runners.
pub(crate) trait Role: Send {
    /// Claimed: recovers what the last owner left and answers where to read the
    /// inputs on from.
    fn take_over(
        &mut self,
        claims: &[Claimed],
    ) -> impl Future<Output = Result<Vec<Claimed>, Halt>> + Send;

    /// Handles a batch and answers what is committed by now.
    fn handle(&mut self, batch: Batch) -> impl Future<Output = Result<Vec<Claimed>, Halt>> + Send;

    /// Called between batches and while idle; answers what was committed.
    fn tick(&mut self) -> impl Future<Output = Result<Vec<Claimed>, Halt>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Called every few seconds while nothing comes in.
    fn idle(&mut self) -> impl Future<Output = Result<(), Halt>> + Send {
        async { Ok(()) }
    }

    /// The partitions go to another member, which waits for that: whatever is
    /// under way for them comes to an end, if it does so soon.
    fn hand_over(&mut self, _partitions: &[i32]) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The partitions were revoked or lost: whatever is under way for them ends.
    fn release(&mut self, _partitions: &[i32]) {}

    /// How many records may come at once; 0 while there is enough to do.
    fn wants(&self) -> usize;

    /// No new work; finishes or interrupts what is under way.
    fn drain(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_says_how_far_it_comes() {
        let record = |partition, offset| Record {
            topic: "mesh.things".to_owned(),
            partition,
            offset,
            timestamp_ms: 0,
            key: None,
            headers: platform_log::Headers::default(),
            value: None,
        };
        let claim = |partition, next_offset| Claimed {
            topic: "mesh.things".to_owned(),
            partition,
            next_offset,
            generation: 1,
        };
        let records = [(1, 5), (1, 6), (2, 9), (1, 7), (2, 10), (1, 8)];
        let batch = Batch {
            records: records.map(|(at, offset)| record(at, offset)).to_vec(),
            upto: vec![claim(1, 9), claim(2, 11)],
        };
        let parts = batch.parts(1);
        let sizes: Vec<usize> = parts.iter().map(|part| part.records.len()).collect();
        assert_eq!(sizes, [1, 2, 3]);
        let upto: Vec<Vec<Claimed>> = parts.into_iter().map(|part| part.upto).collect();
        assert_eq!(
            upto,
            [
                vec![claim(1, 6)],
                vec![claim(1, 7), claim(2, 10)],
                vec![claim(1, 9), claim(2, 11)]
            ]
        );
    }
}
