//! The life of a group member: assigned, claim, recover, work, lose, claim again.

mod classes;
mod held;
mod lag;
mod owned;
mod repair;
mod run;

use std::future::Future;

use platform_log::Record;
use platform_postgres::Claimed;

use crate::Failure;
use crate::error::chain;

pub(crate) use classes::classes;
pub(crate) use held::Held;
pub(crate) use owned::Owned;
pub(crate) use repair::repair;
pub(crate) use run::{Session, SessionOptions, checkpoints, group};

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

/// Records of owned partitions, in order within each, and how far they reach.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    /// The claims of the topic partitions touched, `next_offset` behind the last record.
    pub(crate) upto: Vec<Claimed>,
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
