//! A projection in Postgres, and the same rows by `COPY`.

use anyhow::ensure;
use bytes::Bytes;
use domain_kernel::Recorded;
use futures::future::{join, try_join};
use futures::{SinkExt as _, TryStreamExt as _};
use platform_log::Position;
use platform_postgres::{Checkpoints, Claimed, Pool, schema_name, use_schema};
use platform_projector::{PgProjection, digest, migrate_projection};

use crate::bed::Bed;

/// How many events a runner that is behind takes at once, how many of them its first
/// transaction writes, each one after it twice as many, of how many it combines the
/// changes, and how many it projects before the transaction under way has its turn.
const BATCH: usize = 7 * FIRST;
const FIRST: usize = 5_000;
const TOGETHER: usize = 256;
const TURN: usize = 32;

/// A projection with its tables, and tables of the same form that `COPY` fills.
pub(super) struct Side<'a, P> {
    bed: &'a Bed,
    pub(super) projection: P,
    checkpoints: Checkpoints,
    claims: Vec<Claimed>,
    tables: &'static [&'static str],
}

/// An event and where it stands.
pub(super) type At<E> = (Recorded<E>, Position);

impl<'a, P: PgProjection> Side<'a, P> {
    pub(super) async fn new(
        bed: &'a Bed,
        projection: P,
        tables: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        migrate_projection(&projection, &bed.pool).await?;
        let schema = schema_name(P::NAME);
        let checkpoints = Checkpoints::new(&schema, "bench");
        let topic = projection.topics()[0];
        let claims = checkpoints.claim(&bed.pool, &[(topic, 0)]).await?;
        // The peer's tables have the same columns, keys and indexes.
        let migrations = projection.migrations();
        platform_postgres::migrate(&bed.pool, "peer", &migrations).await?;
        Ok(Self {
            bed,
            projection,
            checkpoints,
            claims,
            tables,
        })
    }

    /// The schema of the projection.
    pub(super) fn schema(&self) -> &str {
        self.checkpoints.schema()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.bed.pool
    }

    pub(super) async fn sql(&self, schema: &str, statement: &str) -> anyhow::Result<()> {
        let mut client = self.pool().get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, schema).await?;
        tx.batch_execute(statement).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn empty(&self, schema: &str) -> anyhow::Result<()> {
        let tables = self.tables.join(", ");
        self.sql(schema, &format!("TRUNCATE {tables}")).await
    }

    /// What the runner does with decoded events: projects and combines them, and commits their
    /// rows with the checkpoint, part by part, projecting one while Postgres writes
    /// the one before.
    pub(super) async fn project(
        &self,
        events: &[At<P::Event>],
        with_offset: bool,
    ) -> anyhow::Result<()> {
        for batch in events.chunks(BATCH) {
            let (mut part, mut rest) = batch.split_at(FIRST.min(batch.len()));
            let mut changes = self.changes(part).await;
            loop {
                let next = rest
                    .split_off(..rest.len().min(2 * part.len()))
                    .unwrap_or_default();
                let writing = self.write(changes, self.upto(part), with_offset);
                let (written, ready) = join(writing, self.changes(next)).await;
                written?;
                if next.is_empty() {
                    break;
                }
                (part, changes) = (next, ready);
            }
        }
        Ok(())
    }

    async fn changes(&self, part: &[At<P::Event>]) -> Vec<P::Change> {
        let mut changes = Vec::new();
        for together in part.chunks(TOGETHER) {
            let mut some = Vec::with_capacity(together.len());
            for turn in together.chunks(TURN) {
                let more = turn
                    .iter()
                    .flat_map(|(recorded, position)| self.projection.project(recorded, position));
                some.extend(more);
                tokio::task::yield_now().await;
            }
            changes.append(&mut self.projection.combine(some));
        }
        changes
    }

    async fn write(
        &self,
        changes: Vec<P::Change>,
        upto: Vec<Claimed>,
        with_offset: bool,
    ) -> anyhow::Result<()> {
        let mut client = self.pool().get().await?;
        let tx = client.transaction().await?;
        let using = use_schema(&tx, self.checkpoints.schema());
        if with_offset {
            try_join(using, self.checkpoints.advance(&tx, &upto)).await?;
        } else {
            using.await?;
        }
        self.projection.apply(&tx, changes).await?;
        Ok(tx.commit().await?)
    }

    fn upto(&self, part: &[At<P::Event>]) -> Vec<Claimed> {
        let next = part.last().map_or(0, |(_, position)| position.offset + 1);
        self.claims
            .iter()
            .map(|claim| Claimed {
                next_offset: next,
                ..claim.clone()
            })
            .collect()
    }

    /// The rows as `COPY` gives them out, to be copied in again by the peer.
    pub(super) async fn rows(&self, schema: &str) -> anyhow::Result<Vec<Vec<Bytes>>> {
        let client = self.pool().get().await?;
        let mut all = Vec::new();
        for table in self.tables {
            let statement = format!("COPY {schema}.{table} TO STDOUT (FORMAT binary)");
            let parts: Vec<Bytes> = client.copy_out(&statement).await?.try_collect().await?;
            // In pieces of the size in which a good client sends them.
            let joined: Vec<u8> = parts.concat();
            all.push(
                joined
                    .chunks(512 * 1024)
                    .map(Bytes::copy_from_slice)
                    .collect(),
            );
        }
        Ok(all)
    }

    /// The peer: one `COPY` a table, all in one transaction.
    pub(super) async fn copy(&self, schema: &str, rows: &[Vec<Bytes>]) -> anyhow::Result<()> {
        let mut client = self.pool().get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, schema).await?;
        for (table, rows) in self.tables.iter().zip(rows) {
            let statement = format!("COPY {table} FROM STDIN (FORMAT binary)");
            let mut sink = std::pin::pin!(tx.copy_in::<_, Bytes>(&statement).await?);
            for part in rows {
                sink.feed(part.clone()).await?;
            }
            sink.as_mut().finish().await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn count(&self, schema: &str) -> anyhow::Result<usize> {
        let client = self.pool().get().await?;
        let mut rows = 0;
        for table in self.tables {
            let row = client
                .query_one(&format!("SELECT count(*) FROM {schema}.{table}"), &[])
                .await?;
            rows += usize::try_from(row.try_get::<_, i64>(0)?)?;
        }
        Ok(rows)
    }

    /// A repeat of everything changes nothing, and a checkpoint stands at the end.
    pub(super) async fn twin(&self, events: &[At<P::Event>]) -> anyhow::Result<usize> {
        let before = digest(&self.projection, self.pool()).await?;
        self.project(events, true).await?;
        let after = digest(&self.projection, self.pool()).await?;
        ensure!(before == after, "a repeat changed the digest");
        let at = Checkpoints::positions(self.pool(), self.schema()).await?;
        let expected = events.last().map_or(0, |(_, position)| position.offset + 1);
        ensure!(
            at.iter().any(|claim| claim.next_offset == expected),
            "the checkpoint is not at the end"
        );
        self.count(self.schema()).await
    }
}

pub(super) fn placed<E>(topic: &str, events: impl IntoIterator<Item = Recorded<E>>) -> Vec<At<E>> {
    (0..)
        .zip(events)
        .map(|(offset, recorded)| {
            let position = Position {
                topic: topic.to_owned(),
                partition: 0,
                offset,
            };
            (recorded, position)
        })
        .collect()
}
