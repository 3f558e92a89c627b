use std::collections::{HashMap, HashSet};

use platform_postgres::{
    CopyRows, WORTH_COPYING, column, copy_unless_conflict,
    tokio_postgres::{Error, Transaction},
};
use uuid::Uuid;

use crate::{
    fold::{Folded, fold},
    project::{Change, RunPatch, StepPatch},
};

const KNOWN: &str = "SELECT workflow_id, version FROM run WHERE workflow_id = ANY($1::uuid[])";

const RUNS: &str = "
    INSERT INTO run AS known
        (workflow_id, tenant, correlation, version, status, definition_id, definition_digest,
         context_id, kind, space, subject, started_at, failed_step, reason, changed_at)
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::uuid[], $4::int8[], $5::text[], $6::text[], $7::text[],
        $8::uuid[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[],
        $14::text[], $15::timestamptz[])
    ON CONFLICT (workflow_id) DO UPDATE SET
        version = excluded.version, status = excluded.status, changed_at = excluded.changed_at,
        definition_id = coalesce(excluded.definition_id, known.definition_id),
        definition_digest = coalesce(excluded.definition_digest, known.definition_digest),
        context_id = coalesce(excluded.context_id, known.context_id),
        kind = coalesce(excluded.kind, known.kind),
        space = coalesce(excluded.space, known.space),
        subject = coalesce(excluded.subject, known.subject),
        started_at = coalesce(excluded.started_at, known.started_at),
        failed_step = coalesce(excluded.failed_step, known.failed_step),
        reason = coalesce(excluded.reason, known.reason)
    WHERE known.version < excluded.version";

const COPY_RUNS: &str = "
    COPY run
        (workflow_id, tenant, correlation, version, status, definition_id, definition_digest,
         context_id, kind, space, subject, started_at, failed_step, reason, changed_at)
    FROM STDIN (FORMAT binary)";

const COPY_STEPS: &str = "
    COPY step
        (workflow_id, step, ordinal, status, call, target, output, code, reason, attempts,
         started_at, ended_at, compensated_at)
    FROM STDIN (FORMAT binary)";

const STEPS: &str = "
    INSERT INTO step AS known
        (workflow_id, step, ordinal, status, call, target, output, code, reason, attempts,
         started_at, ended_at, compensated_at)
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::int8[], $11::timestamptz[], $12::timestamptz[],
        $13::timestamptz[])
    ON CONFLICT (workflow_id, step) DO UPDATE SET
        status = excluded.status,
        ordinal = coalesce(excluded.ordinal, known.ordinal),
        call = coalesce(excluded.call, known.call),
        target = coalesce(excluded.target, known.target),
        output = coalesce(excluded.output, known.output),
        code = coalesce(excluded.code, known.code),
        reason = coalesce(excluded.reason, known.reason),
        attempts = coalesce(excluded.attempts, known.attempts),
        started_at = coalesce(excluded.started_at, known.started_at),
        ended_at = coalesce(excluded.ended_at, known.ended_at),
        compensated_at = coalesce(excluded.compensated_at, known.compensated_at)";

/// Brings the touched runs and steps to where the batch leaves them. One owner
/// writes a run, so that nothing moves between reading the versions and writing.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let known = known_versions(tx, &changes).await?;
    let is_known: HashSet<Uuid> = known.keys().copied().collect();
    let Folded { runs, steps } = fold(changes, known);
    let (runs, new_runs): (Vec<RunPatch>, Vec<RunPatch>) = runs
        .into_values()
        .partition(|run| is_known.contains(&run.workflow_id));
    let (steps, new_steps): (Vec<Step>, Vec<Step>) = steps
        .into_iter()
        .map(|((workflow_id, _), step)| (workflow_id, step))
        .partition(|(workflow_id, _)| is_known.contains(workflow_id));
    add_runs(tx, &new_runs).await?;
    add_steps(tx, &new_steps).await?;
    write_runs(tx, &runs).await?;
    write_steps(tx, &steps).await
}

/// A step and the run it belongs to.
type Step = (Uuid, StepPatch);

/// Runs that are not there yet: many are copied, which costs half.
async fn add_runs(tx: &Transaction<'_>, rows: &[RunPatch]) -> Result<(), Error> {
    if rows.len() < WORTH_COPYING {
        return write_runs(tx, rows).await;
    }
    let mut copied = CopyRows::new();
    for row in rows {
        let started = row.started.as_ref();
        copied.push(&[
            &row.workflow_id,
            &row.tenant,
            &row.correlation,
            &row.version,
            &row.status,
            &started.map(|s| s.definition_id.as_str()),
            &started.map(|s| s.definition_digest.as_str()),
            &started.map(|s| s.context_id),
            &started.map(|s| s.kind.as_str()),
            &started.map(|s| s.space.as_str()),
            &started.map(|s| s.subject.as_str()),
            &started.map(|s| s.at),
            &row.failed_step,
            &row.reason,
            &row.changed_at,
        ]);
    }
    if copy_unless_conflict(tx, COPY_RUNS, copied).await? {
        return Ok(());
    }
    write_runs(tx, rows).await
}

/// Steps of runs that were not there yet.
async fn add_steps(tx: &Transaction<'_>, rows: &[Step]) -> Result<(), Error> {
    if rows.len() < WORTH_COPYING {
        return write_steps(tx, rows).await;
    }
    let mut copied = CopyRows::new();
    for (workflow_id, row) in rows {
        copied.push(&[
            workflow_id,
            &row.step,
            &row.ordinal,
            &row.status,
            &row.call,
            &row.target,
            &row.output,
            &row.code,
            &row.reason,
            &row.attempts,
            &row.started_at,
            &row.ended_at,
            &row.compensated_at,
        ]);
    }
    if copy_unless_conflict(tx, COPY_STEPS, copied).await? {
        return Ok(());
    }
    write_steps(tx, rows).await
}

async fn known_versions(
    tx: &Transaction<'_>,
    changes: &[Change],
) -> Result<HashMap<Uuid, i64>, Error> {
    let ids = column(changes, |change| change.run.workflow_id);
    tx.query(KNOWN, &[&ids])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

async fn write_runs(tx: &Transaction<'_>, rows: &[RunPatch]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute(
        RUNS,
        &[
            &column(rows, |row| row.workflow_id),
            &column(rows, |row| row.tenant.as_str()),
            &column(rows, |row| row.correlation),
            &column(rows, |row| row.version),
            &column(rows, |row| row.status),
            &column(rows, |row| {
                row.started.as_ref().map(|s| s.definition_id.as_str())
            }),
            &column(rows, |row| {
                row.started.as_ref().map(|s| s.definition_digest.as_str())
            }),
            &column(rows, |row| row.started.as_ref().map(|s| s.context_id)),
            &column(rows, |row| row.started.as_ref().map(|s| s.kind.as_str())),
            &column(rows, |row| row.started.as_ref().map(|s| s.space.as_str())),
            &column(rows, |row| row.started.as_ref().map(|s| s.subject.as_str())),
            &column(rows, |row| row.started.as_ref().map(|s| s.at)),
            &column(rows, |row| row.failed_step.as_deref()),
            &column(rows, |row| row.reason.as_deref()),
            &column(rows, |row| row.changed_at),
        ],
    )
    .await?;
    Ok(())
}

async fn write_steps(tx: &Transaction<'_>, rows: &[Step]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute(
        STEPS,
        &[
            &column(rows, |(workflow_id, _)| *workflow_id),
            &column(rows, |(_, row)| row.step.as_str()),
            &column(rows, |(_, row)| row.ordinal),
            &column(rows, |(_, row)| row.status),
            &column(rows, |(_, row)| row.call),
            &column(rows, |(_, row)| row.target.as_deref()),
            &column(rows, |(_, row)| row.output.as_deref()),
            &column(rows, |(_, row)| row.code.as_deref()),
            &column(rows, |(_, row)| row.reason.as_deref()),
            &column(rows, |(_, row)| row.attempts),
            &column(rows, |(_, row)| row.started_at),
            &column(rows, |(_, row)| row.ended_at),
            &column(rows, |(_, row)| row.compensated_at),
        ],
    )
    .await?;
    Ok(())
}
