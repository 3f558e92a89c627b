//! Projections in Postgres against `COPY`: what the server can take at best.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use domain_kernel::Recorded;
use domain_workflow::WorkflowEvent;
use futures::future::{join, try_join, try_join_all};
use futures::{SinkExt as _, TryStreamExt as _};
use platform_log::Position;
use platform_postgres::tokio_postgres::types::ToSql;
use platform_postgres::{Checkpoints, Claimed, Pool, schema_name, use_schema};
use platform_projector::{PgProjection, digest, migrate_projection};
use projections_deliveries::DeliveriesProjection;
use projections_workflows::WorkflowsProjection;
use uuid::Uuid;

use crate::Bench;
use crate::bed::Bed;
use crate::fixtures;
use crate::harness::{Goal, Row, in_turns, timed};
use crate::rows::pgbench;

/// How many events a runner that is behind takes at once, how many of them its first
/// transaction writes, each one after it twice as many, of how many it combines the
/// changes, and how many it projects before the transaction under way has its turn.
const BATCH: usize = 7 * FIRST;
const FIRST: usize = 5_000;
const TOGETHER: usize = 256;
const TURN: usize = 32;

/// A projection with its tables, and tables of the same form that `COPY` fills.
struct Side<'a, P> {
    bed: &'a Bed,
    projection: P,
    checkpoints: Checkpoints,
    claims: Vec<Claimed>,
    tables: &'static [&'static str],
}

/// An event and where it stands.
type At<E> = (Recorded<E>, Position);

impl<'a, P: PgProjection> Side<'a, P> {
    async fn new(
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

    fn pool(&self) -> &Pool {
        &self.bed.pool
    }

    async fn sql(&self, schema: &str, statement: &str) -> anyhow::Result<()> {
        let mut client = self.pool().get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, schema).await?;
        tx.batch_execute(statement).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn empty(&self, schema: &str) -> anyhow::Result<()> {
        let tables = self.tables.join(", ");
        self.sql(schema, &format!("TRUNCATE {tables}")).await
    }

    /// What the runner does with decoded events: projects and combines them, and commits their
    /// rows with the checkpoint, part by part, projecting one while Postgres writes
    /// the one before.
    async fn project(&self, events: &[At<P::Event>], with_offset: bool) -> anyhow::Result<()> {
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
    async fn rows(&self, schema: &str) -> anyhow::Result<Vec<Vec<Bytes>>> {
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
    async fn copy(&self, schema: &str, rows: &[Vec<Bytes>]) -> anyhow::Result<()> {
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

    async fn count(&self, schema: &str) -> anyhow::Result<usize> {
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
    async fn twin(&self, events: &[At<P::Event>]) -> anyhow::Result<usize> {
        let before = digest(&self.projection, self.pool()).await?;
        self.project(events, true).await?;
        let after = digest(&self.projection, self.pool()).await?;
        ensure!(before == after, "a repeat changed the digest");
        let at = Checkpoints::positions(self.pool(), self.checkpoints.schema()).await?;
        let expected = events.last().map_or(0, |(_, position)| position.offset + 1);
        ensure!(
            at.iter().any(|claim| claim.next_offset == expected),
            "the checkpoint is not at the end"
        );
        self.count(self.checkpoints.schema()).await
    }
}

fn placed<E>(topic: &str, events: impl IntoIterator<Item = Recorded<E>>) -> Vec<At<E>> {
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

/// A/A, G2a and G2d: deliveries, a table with one key and no other index, where
/// `COPY` is at its best.
pub(crate) async fn append_only(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let count = bench.size.pick(5_000, 30_000, 200_000);
    let bed = bench.servers.bed("append").await?;
    let side = Side::new(
        &bed,
        DeliveriesProjection::new(bed.registry.clone()),
        &["accepted"],
    )
    .await?;
    let events = placed("mesh.deliveries", (0..count).map(fixtures::delivery));
    let own = side.checkpoints.schema().to_owned();
    side.project(&events, true).await?;
    let rows = side.rows(&own).await?;

    let copy = async || {
        side.empty("peer").await?;
        timed(count, side.copy("peer", &rows)).await
    };
    let project = async |with_offset: bool| {
        side.empty(&own).await?;
        timed(count, side.project(&events, with_offset)).await
    };
    let mut found = Vec::new();
    if bench.wants("A/A-copy") {
        let pairs = in_turns(
            "rows/s",
            bench.rounds,
            async || copy().await,
            async || copy().await,
        )
        .await?;
        found.push(Row::new(
            "A/A-copy",
            "COPY ÷ the same COPY: the noise of the measurement",
            Goal::Shown,
            &pairs,
            "the same rows",
        )?);
    }
    if bench.wants("G2a") {
        let pairs = in_turns("rows/s", bench.rounds, copy, async || project(true).await).await?;
        let there = side.twin(&events).await?;
        ensure!(there == count, "{there} rows of {count}");
        let copied = side.count("peer").await?;
        ensure!(copied == count, "the peer has {copied} rows of {count}");
        found.push(Row::new(
            "G2a",
            "append-only projection with its offset, in transactions of 5,000 to 20,000 ÷ one COPY in one transaction",
            Goal::AtLeast(0.75),
            &pairs,
            format!("{count} events, {count} rows; a repeat leaves the digest as it is"),
        )?);
    }
    if bench.wants("G2d") {
        let pairs = in_turns(
            "rows/s",
            bench.rounds,
            async || project(false).await,
            async || project(true).await,
        )
        .await?;
        let there = side.twin(&events).await?;
        ensure!(there == count, "{there} rows of {count}");
        found.push(Row::new(
            "G2d",
            "with the guarded offset in the transaction ÷ without",
            Goal::AtLeast(0.97),
            &pairs,
            format!("{count} rows, offset at {count}"),
        )?);
    }
    Ok(found)
}

const RUN_TABLES: &[&str] = &["run", "step"];

/// One statement a row, as a projection without batches would do it.
const ONE_RUN: &str = "INSERT INTO run AS known
    (workflow_id, tenant, correlation, version, status, changed_at)
    VALUES ($1, $2, $3, $4, $5, now())
    ON CONFLICT (workflow_id) DO UPDATE SET
        version = excluded.version, status = excluded.status, changed_at = excluded.changed_at
    WHERE known.version < excluded.version";
const ONE_STEP: &str = "INSERT INTO step AS known
    (workflow_id, step, status, started_at) VALUES ($1, $2, $3, now())
    ON CONFLICT (workflow_id, step) DO UPDATE SET
        status = excluded.status, started_at = excluded.started_at";

/// G2b: every event changes another run that is there already: a row of the run
/// and one of its step.
pub(crate) async fn upserting(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let count = bench.size.pick(2_000, 10_000, 50_000);
    let bed = bench.servers.bed("upsert").await?;
    let side = Side::new(
        &bed,
        WorkflowsProjection::new(bed.registry.clone()),
        RUN_TABLES,
    )
    .await?;
    let own = side.checkpoints.schema().to_owned();
    let started = placed("mesh.workflows", (0..count).map(fixtures::workflow_started));
    side.project(&started, true).await?;
    side.sql(&own, "ANALYZE run; ANALYZE step").await?;
    // Two rows an event, as COPY writes them: all the runs, and as many steps.
    let client = bed.pool.get().await?;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA few; CREATE TABLE few.run AS SELECT * FROM {own}.run;
             CREATE TABLE few.step AS SELECT * FROM {own}.step WHERE ordinal = 1"
        ))
        .await?;
    let rows = side.rows("few").await?;
    // Each turn moves every run on by one event, so none is a repeat.
    let version = std::cell::Cell::new(1);
    let next = || {
        version.set(version.get() + 1);
        version.get()
    };
    let upsert = async || {
        let version = next();
        // After the tenth event the story is told again under higher versions.
        let events = placed(
            "mesh.workflows",
            (0..count).map(|n| {
                let mut recorded = fixtures::workflow_goes_on(n, 2 + version % 8);
                recorded.meta.version = version;
                recorded
            }),
        );
        timed(2 * count, side.project(&events, true)).await
    };
    let copy = async || {
        side.empty("peer").await?;
        timed(2 * count, side.copy("peer", &rows)).await
    };
    let one_by_one = async || {
        let version = next();
        let ids: Vec<(Uuid, Uuid)> = (0..count)
            .map(|n| {
                let recorded = fixtures::workflow_started(n);
                let WorkflowEvent::Started(event) = recorded.event else {
                    return (Uuid::nil(), Uuid::nil());
                };
                (
                    event.workflow_id.as_uuid(),
                    recorded.meta.correlation.as_uuid(),
                )
            })
            .collect();
        timed(2 * count, pipelined(&side, &own, &ids, version as i64)).await
    };
    let mut found = Vec::new();
    if bench.wants("G2b") {
        let pairs = in_turns("rows/s", bench.rounds, copy, upsert).await?;
        checked_versions(&side, &own, count, version.get()).await?;
        found.push(Row::new(
            "G2b",
            "upserting projection (every row is there already) ÷ COPY of as many rows",
            Goal::AtLeast(0.45),
            &pairs,
            format!("{count} runs stand at the last version"),
        )?);
    }
    if bench.wants("G2b-pipelined") {
        let pairs = in_turns("rows/s", bench.rounds, one_by_one, upsert).await?;
        checked_versions(&side, &own, count, version.get()).await?;
        found.push(Row::new(
            "G2b-pipelined",
            "upserting projection ÷ single upserts, pipelined in one transaction",
            Goal::AtLeast(2.5),
            &pairs,
            format!("{count} runs stand at the last version"),
        )?);
    }
    if bench.wants("G2b-pgbench") {
        pgbench::prepare(side.pool(), &side.projection.migrations(), &own).await?;
        let url = &bed.settings.postgres.url;
        let by_pgbench = async || pgbench::rows_per_second(url, count).await;
        let pairs = in_turns("rows/s", bench.rounds, by_pgbench, upsert).await?;
        checked_versions(&side, &own, count, version.get()).await?;
        found.push(Row::new(
            "G2b-pgbench",
            "upserting projection ÷ pgbench: the same two upserts a transaction, 8 connections",
            Goal::Shown,
            &pairs,
            format!("{count} runs stand at the last version; no transaction of pgbench failed"),
        )?);
    }
    Ok(found)
}

async fn pipelined<P: PgProjection>(
    side: &Side<'_, P>,
    schema: &str,
    ids: &[(Uuid, Uuid)],
    version: i64,
) -> anyhow::Result<()> {
    let mut client = side.pool().get().await?;
    let tx = client.transaction().await?;
    use_schema(&tx, schema).await?;
    let (run, step) = (&tx.prepare(ONE_RUN).await?, &tx.prepare(ONE_STEP).await?);
    let (within, version) = (&tx, &version);
    for part in ids.chunks(1_000) {
        // Polled together, they go out without waiting for one another.
        try_join_all(part.iter().map(|(id, correlation)| async move {
            let of_run: [&(dyn ToSql + Sync); 5] = [id, &"acme", correlation, version, &"running"];
            let of_step: [&(dyn ToSql + Sync); 3] = [id, &"triage", &"running"];
            try_join(within.execute(run, &of_run), within.execute(step, &of_step)).await
        }))
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn checked_versions<P: PgProjection>(
    side: &Side<'_, P>,
    schema: &str,
    count: usize,
    version: u64,
) -> anyhow::Result<()> {
    let client = side.pool().get().await?;
    let row = client
        .query_one(
            &format!("SELECT count(*) FROM {schema}.run WHERE version = $1"),
            &[&i64::try_from(version)?],
        )
        .await?;
    let there: i64 = row.try_get(0).context("no count")?;
    ensure!(
        usize::try_from(there)? == count,
        "{there} of {count} runs are at version {version}"
    );
    Ok(())
}

/// G2c: the ten events of each run come together, and are folded to five rows.
pub(crate) async fn folding(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let runs = bench.size.pick(500, 14_000, 20_000);
    let bed = bench.servers.bed("fold").await?;
    let side = Side::new(
        &bed,
        WorkflowsProjection::new(bed.registry.clone()),
        RUN_TABLES,
    )
    .await?;
    let own = side.checkpoints.schema().to_owned();
    let events = placed("mesh.workflows", (0..runs).flat_map(fixtures::workflow));
    side.project(&events, true).await?;
    let rows = side.rows(&own).await?;
    let count = side.count(&own).await?;
    let pairs = in_turns(
        "events or rows/s",
        bench.rounds,
        async || {
            side.empty("peer").await?;
            timed(count, side.copy("peer", &rows)).await
        },
        async || {
            side.empty(&own).await?;
            timed(events.len(), side.project(&events, true)).await
        },
    )
    .await?;
    let there = side.twin(&events).await?;
    ensure!(there == count, "{there} rows of {count}");
    let row = Row::new(
        "G2c",
        "events/s with ten events a key ÷ rows/s of COPY into the same tables",
        Goal::AtLeast(1.5),
        &pairs,
        format!(
            "{} events, {count} rows; a repeat leaves the digest as it is",
            events.len()
        ),
    )?;
    Ok(vec![row])
}
