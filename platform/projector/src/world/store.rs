use std::future::Future;

use platform_postgres::{Claimed, Resolution};

use crate::Failure;
use crate::session::Halt;

/// Why a transaction did not commit, or does not say whether it did.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Something about the values is refused, for good or for now.
    Values(Failure),
    /// The answer to the commit was lost; the checkpoint tells what became of it.
    Unknown(Halt),
    Halt(Halt),
}

impl From<Halt> for WriteError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<WriteError> for Halt {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Values(failure) => Self::transient(failure),
            WriteError::Unknown(halt) | WriteError::Halt(halt) => halt,
        }
    }
}

/// Where one runner keeps its checkpoints, on behalf of one run of it.
///
/// Whatever is written goes through a transaction that first moves the
/// checkpoints and is refused as [`Halt::Fenced`] when any of the claims is no
/// longer this run's: the generation guard.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    /// The name of this run, for the log.
    fn owner(&self) -> &str;

    /// Becomes the owner of the partitions; answers also which making of the
    /// store this is, so that one that was made anew is noticed.
    fn claim(
        &self,
        partitions: &[(&str, i32)],
    ) -> impl Future<Output = Result<(Vec<Claimed>, String), Halt>> + Send;

    /// Whether the claims still hold.
    fn verify(&self, claims: &[Claimed]) -> impl Future<Output = Result<(), Halt>> + Send;

    /// Whether the store is whole, and still that of `incarnation`.
    fn inspect(&self, incarnation: Option<&str>) -> impl Future<Output = Result<(), Halt>> + Send;

    /// Creates what is missing; `anew` names an incarnation whose content is of no use.
    fn repair(&self, anew: Option<&str>) -> impl Future<Output = Result<(), Halt>> + Send;

    /// Moves the checkpoints, and writes nothing else.
    fn advance(&self, upto: &[Claimed]) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Reads back what became of a transaction whose answer was lost.
    fn resolve(&self, upto: &[Claimed]) -> impl Future<Output = Result<Resolution, Halt>> + Send;
}

/// One stream's state as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) stream: String,
    pub(crate) partition: i32,
    pub(crate) version: u64,
    /// JSON.
    pub(crate) state: String,
    /// The metadata of the last event, as JSON.
    pub(crate) last: String,
    /// Microseconds since 1970.
    pub(crate) wake_at: Option<i64>,
}

/// A store that keeps the states of a decider beside its checkpoints.
pub(crate) trait StateStore: Store {
    /// Those of the streams that are known.
    fn load(&self, streams: &[&str]) -> impl Future<Output = Result<Vec<StateRow>, Halt>> + Send;

    /// The streams of the given partitions that wanted to be woken by `now`.
    fn due(
        &self,
        partitions: &[i32],
        now: i64,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<StateRow>, Halt>> + Send;

    /// Looks at timers that led to nothing again later. No offset moves, so a
    /// lost race only costs a look.
    fn postpone(
        &self,
        streams: &[String],
        now: i64,
        until: i64,
    ) -> impl Future<Output = Result<(), Halt>> + Send;

    /// Notes what is about to be appended to each partition, in place of what was
    /// noted of it before, as long as the claims still hold.
    fn intend(
        &self,
        notes: &[(i32, String)],
        claims: &[Claimed],
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// What was last noted of a partition.
    fn intended(&self, partition: i32)
    -> impl Future<Output = Result<Option<String>, Halt>> + Send;

    /// States and checkpoints in one transaction. A state never goes back to a
    /// lower version.
    fn save(
        &self,
        rows: &[StateRow],
        upto: &[Claimed],
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// What became of a transaction: when its answer was lost, the checkpoint tells.
pub(crate) async fn settle<S: Store>(
    store: &S,
    upto: &[Claimed],
    committed: Result<(), WriteError>,
) -> Result<(), WriteError> {
    let Err(WriteError::Unknown(halt)) = committed else {
        return committed;
    };
    match store.resolve(upto).await? {
        Resolution::Committed => Ok(()),
        Resolution::NotCommitted => Err(WriteError::Halt(halt)),
        Resolution::Fenced => Err(WriteError::Halt(Halt::Fenced)),
    }
}
