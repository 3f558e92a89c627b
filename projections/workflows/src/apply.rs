use std::collections::HashMap;

use futures::future::try_join;
use platform_postgres::{
    OnConflict, Table, WORTH_COPYING, column, or_null,
    tokio_postgres::{
        Error, Transaction,
        types::{ToSql, Type},
    },
};
use uuid::Uuid;

use crate::{
    fold::{combine, drop_stored},
    project::{Change, Said, StepPatch},
};

const KNOWN: &str = "SELECT workflow_id, version FROM run WHERE workflow_id = ANY($1::uuid[])";

/// A step and the run it belongs to.
type Step = (Uuid, StepPatch);

const RUN: Table<Change> = Table {
    name: "run",
    columns: &[
        ("workflow_id", Type::UUID, |row| &row.run.workflow_id),
        ("tenant", Type::TEXT, |row| &row.run.tenant),
        ("correlation", Type::UUID, |row| &row.run.correlation),
        ("version", Type::INT8, |row| &row.run.version),
        ("status", Type::TEXT, |row| &row.run.status),
        ("definition_id", Type::TEXT, |row| {
            or_null(row.run.started.as_ref(), |it| &it.definition_id)
        }),
        ("definition_digest", Type::TEXT, |row| {
            or_null(row.run.started.as_ref(), |it| &it.definition_digest)
        }),
        ("context_id", Type::UUID, |row| {
            or_null(row.run.started.as_ref(), |it| &it.context_id)
        }),
        ("kind", Type::TEXT, |row| {
            or_null(row.run.started.as_ref(), |it| &it.kind)
        }),
        ("space", Type::TEXT, |row| {
            or_null(row.run.started.as_ref(), |it| &it.space)
        }),
        ("subject", Type::TEXT, |row| {
            or_null(row.run.started.as_ref(), |it| &it.subject)
        }),
        ("started_at", Type::TIMESTAMPTZ, |row| {
            or_null(row.run.started.as_ref(), |it| &it.at)
        }),
        ("failed_step", Type::TEXT, |row| said(&row.run.failed_step)),
        ("reason", Type::TEXT, |row| said(&row.run.reason)),
        ("changed_at", Type::TIMESTAMPTZ, |row| &row.run.changed_at),
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
        ("started_at", Type::TIMESTAMPTZ, |row| {
            said(&row.1.started_at)
        }),
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
    let mut changes = combine(changes);
    // By their ids, next to one another in the indexes.
    changes.sort_unstable_by_key(|change| change.run.workflow_id);
    let (mut begun, mut others): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|change| change.first <= 1);
    // A run whose beginning is among them is new, but for a repeat of it on the log.
    // That is rare, and to look for each run costs as much as a part of its row, so
    // that it is left to the unique index.
    if begun.len() >= WORTH_COPYING && RUN.append_new(tx, &begun).await? {
        STEP.append(tx, &take_steps(&mut begun)).await?;
    } else {
        others.append(&mut begun);
    }
    if others.is_empty() {
        return Ok(());
    }
    let known = known_versions(tx, &others).await?;
    drop_stored(&mut others, &known);
    let (mut there, mut new): (Vec<Change>, Vec<Change>) = others
        .into_iter()
        .partition(|change| known.contains_key(&change.run.workflow_id));
    RUN.append(tx, &new).await?;
    STEP.append(tx, &take_steps(&mut new)).await?;
    let steps = take_steps(&mut there);
    // Side by side: the second is written down while Postgres executes the first.
    try_join(change(&RUN, tx, &there), change(&STEP, tx, &steps)).await?;
    Ok(())
}

fn take_steps(changes: &mut [Change]) -> Vec<Step> {
    let count: usize = changes.iter().map(|change| change.steps.len()).sum();
    let mut steps: Vec<Step> = Vec::with_capacity(count);
    for change in changes {
        let id = change.run.workflow_id;
        steps.extend(change.steps.drain(..).map(|step| (id, step)));
    }
    steps
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
    let ids = column(changes, |change| change.run.workflow_id);
    // Without a round trip to be told the types.
    tx.query_typed(KNOWN, &[(&ids, Type::UUID_ARRAY)])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
