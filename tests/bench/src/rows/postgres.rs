//! Projections in Postgres against `COPY`: what the server can take at best.

use anyhow::{Context as _, ensure};
use domain_workflow::WorkflowEvent;
use futures::future::{try_join, try_join_all};
use platform_postgres::tokio_postgres::types::ToSql;
use platform_postgres::use_schema;
use platform_projector::PgProjection;
use projections_deliveries::DeliveriesProjection;
use projections_workflows::WorkflowsProjection;
use uuid::Uuid;

use crate::Bench;
use crate::fixtures;
use crate::harness::{Goal, Row, in_turns, timed};
use crate::rows::pgbench;
use crate::rows::side::{Side, placed};

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
    let own = side.schema().to_owned();
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
    let own = side.schema().to_owned();
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
    let own = side.schema().to_owned();
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
