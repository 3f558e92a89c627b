use std::future::Future;

use domain_kernel::Recorded;
use futures::future::try_join;
use platform_log::{DecodeError, Position, Record};
use platform_postgres::{Claimed, use_schema};

use super::PgProjection;
use crate::world::{PgStore, Store, WriteError};

/// Of how many records the changes are combined at once: so many are still in the
/// processor's cache, and take a tenth of a millisecond.
pub(crate) const TOGETHER: usize = 256;

/// A read model as its runner sees it: rows and checkpoint go together into `S`.
pub(crate) trait ReadModel<S: Store>: Send + Sync + 'static {
    const NAME: &'static str;
    /// How many records the first transaction of a batch writes at most; each one
    /// after it writes twice as many.
    const PART: usize = 5_000;
    type Event: Send + Sync;
    type Change: Send + Sync;

    fn decode(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Vec<Recorded<Self::Event>>, DecodeError>> + Send;

    fn project(&self, recorded: Recorded<Self::Event>, position: &Position) -> Vec<Self::Change>;

    /// Fewer changes that come to the same.
    fn combine(&self, changes: Vec<Self::Change>) -> Vec<Self::Change>;

    /// Moves the checkpoints to `upto` and writes the changes, in one transaction.
    fn write(
        &self,
        store: &S,
        changes: Vec<Self::Change>,
        upto: &[Claimed],
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
}

impl<P: PgProjection> ReadModel<PgStore> for P {
    const NAME: &'static str = P::NAME;
    type Event = P::Event;
    type Change = P::Change;

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<P::Event>>, DecodeError> {
        PgProjection::decode(self, record).await
    }

    fn project(&self, recorded: Recorded<P::Event>, position: &Position) -> Vec<P::Change> {
        self.project_owned(recorded, position)
    }

    fn combine(&self, changes: Vec<P::Change>) -> Vec<P::Change> {
        PgProjection::combine(self, changes)
    }

    async fn write(
        &self,
        store: &PgStore,
        changes: Vec<P::Change>,
        upto: &[Claimed],
    ) -> Result<(), WriteError> {
        let mut client = store.pool.get().await?;
        let tx = client.transaction().await?;
        // The second goes out behind the first without waiting for it.
        try_join(
            use_schema(&tx, store.checkpoints.schema()),
            store.checkpoints.advance(&tx, upto),
        )
        .await?;
        if !changes.is_empty() {
            self.apply(&tx, changes).await?;
        }
        tx.commit().await.map_err(WriteError::of_commit)
    }
}
