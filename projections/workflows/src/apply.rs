use std::collections::HashMap;

use futures::future::try_join;
use platform_postgres::{
    OnConflict, Table, column, or_null,
    tokio_postgres::{
        Error, Transaction,
        types::{ToSql, Type},
    },
};
use uuid::Uuid;

use crate::{
    fold::fold,
    project::{Change, RunPatch, Said, StepPatch},
};

const KNOWN: &str = "SELECT workflow_id, version FROM run WHERE workflow_id = ANY($1::uuid[])";

/// A step and the run it belongs to.
type Step = (Uuid, StepPatch);

const RUN: Table<RunPatch> = Table {
    name: "run",
    columns: &[
        ("workflow_id", Type::UUID, |row| &row.workflow_id),
        ("tenant", Type::TEXT, |row| &row.tenant),
        ("correlation", Type::UUID, |row| &row.correlation),
        ("version", Type::INT8, |row| &row.version),
        ("status", Type::TEXT, |row| &row.status),
        ("definition_id", Type::TEXT, |row| {
            or_null(row.started.as_ref(), |it| &it.definition_id)
        }),
        ("definition_digest", Type::TEXT, |row| {
            or_null(row.started.as_ref(), |it| &it.definition_digest)
        }),
        ("context_id", Type::UUID, |row| {
            or_null(row.started.as_ref(), |it| &it.context_id)
        }),
        ("kind", Type::TEXT, |row| {
            or_null(row.started.as_ref(), |it| &it.kind)
        }),
        ("space", Type::TEXT, |row| {
            or_null(row.started.as_ref(), |it| &it.space)
        }),
        ("subject", Type::TEXT, |row| {
            or_null(row.started.as_ref(), |it| &it.subject)
        }),
        ("started_at", Type::TIMESTAMPTZ, |row| {
            or_null(row.started.as_ref(), |it| &it.at)
        }),
        ("failed_step", Type::TEXT, |row| said(&row.failed_step)),
        ("reason", Type::TEXT, |row| said(&row.reason)),
        ("changed_at", Type::TIMESTAMPTZ, |row| &row.changed_at),
    ],
    on_conflict: OnConflict::Update {
        keys: &["workflow_id"],
        set: &["version", "status", "changed_at"],
        set_if_given: &[
            "definition_id",
            "definition_digest",
            "context_id",
            "kind",
            "space",
            "subject",
            "started_at",
            "failed_step",
            "reason",
        ],
        only_if: "known.version < excluded.version",
    },
};

const STEP: Table<Step> = Table {
    name: "step",
    columns: &[
        ("workflow_id", Type::UUID, |row| &row.0),
        ("step", Type::TEXT, |row| &row.1.step),
        ("ordinal", Type::INT8, |row| said(&row.1.ordinal)),
        ("status", Type::TEXT, |row| &row.1.status),
        ("call", Type::TEXT, |row| said(&row.1.call)),
        ("target", Type::TEXT, |row| said(&row.1.target)),
        ("output", Type::TEXT, |row| said(&row.1.output)),
        ("code", Type::TEXT, |row| said(&row.1.code)),
        ("reason", Type::TEXT, |row| said(&row.1.reason)),
        ("attempts", Type::INT8, |row| said(&row.1.attempts)),
        ("started_at", Type::TIMESTAMPTZ, |row| said(&row.1.started_at)),
        ("ended_at", Type::TIMESTAMPTZ, |row| said(&row.1.ended_at)),
        ("compensated_at", Type::TIMESTAMPTZ, |row| {
            said(&row.1.compensated_at)
        }),
    ],
    on_conflict: OnConflict::Update {
        keys: &["workflow_id", "step"],
        set: &["status"],
        set_if_given: &[
            "ordinal",
            "call",
            "target",
            "output",
            "code",
            "reason",
            "attempts",
            "started_at",
            "ended_at",
            "compensated_at",
        ],
        only_if: "true",
    },
};

fn said<T: ToSql + Sync + 'static>(said: &Option<Said<T>>) -> &(dyn ToSql + Sync) {
    or_null(said.as_ref(), |it| &it.value)
}

/// Brings the touched runs and steps to where the batch leaves them. One owner
/// writes a run, so that nothing moves between reading the versions and writing.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let known = known_versions(tx, &changes).await?;
    let (there, new): (Vec<Change>, Vec<Change>) = fold(changes, &known)
        .into_iter()
        .partition(|change| known.contains_key(&change.run.workflow_id));
    let (new_runs, new_steps) = rows(new);
    RUN.append(tx, &new_runs).await?;
    STEP.append(tx, &new_steps).await?;
    let (runs, steps) = rows(there);
    // Side by side: the second is written down while Postgres executes the first.
    try_join(change(&RUN, tx, &runs), change(&STEP, tx, &steps)).await?;
    Ok(())
}

fn rows(changes: Vec<Change>) -> (Vec<RunPatch>, Vec<Step>) {
    let count = changes.iter().map(|change| change.steps.len()).sum();
    let mut runs = Vec::with_capacity(changes.len());
    let mut steps = Vec::with_capacity(count);
    for change in changes {
        let id = change.run.workflow_id;
        runs.push(change.run);
        steps.extend(change.steps.into_iter().map(|step| (id, step)));
    }
    (runs, steps)
}

/// Changes rows that are there, and adds those that are not: a step that its run
/// did not begin with. These are rare, and writing the others again changes nothing.
async fn change<R: Sync>(table: &Table<R>, tx: &Transaction<'_>, rows: &[R]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let changed = table.update(tx, rows).await?;
    if usize::try_from(changed) != Ok(rows.len()) {
        table.insert(tx, rows).await?;
    }
    Ok(())
}

async fn known_versions(
    tx: &Transaction<'_>,
    changes: &[Change],
) -> Result<HashMap<Uuid, i64>, Error> {
    let mut ids = column(changes, |change| change.run.workflow_id);
    ids.sort_unstable();
    ids.dedup();
    // Without a round trip to be told the types.
    tx.query_typed(KNOWN, &[(&ids, Type::UUID_ARRAY)])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
