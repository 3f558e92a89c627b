use platform_postgres::{
    OnConflict, Table,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::{CancellationRow, Change, OutcomeRow, RequestRow};

const REQUEST: Table<RequestRow> = Table {
    name: "request",
    columns: &[
        ("effect_id", Type::UUID, |row| &row.key.effect_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("tenant", Type::TEXT, |row| &row.key.tenant),
        ("correlation", Type::UUID, |row| &row.key.correlation),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("workflow_id", Type::UUID, |row| &row.workflow_id),
        ("step", Type::TEXT, |row| &row.step),
        ("compensation", Type::BOOL, |row| &row.compensation),
        ("connector_id", Type::TEXT, |row| &row.connector_id),
        ("operation", Type::TEXT, |row| &row.operation),
        ("object", Type::TEXT, |row| &row.object),
        ("id_property", Type::TEXT, |row| &row.id_property),
        ("external_id", Type::TEXT, |row| &row.external_id),
        ("properties", Type::TEXT, |row| &row.properties),
        ("deadline", Type::TIMESTAMPTZ, |row| &row.deadline),
    ],
    on_conflict: OnConflict::Nothing,
};

const CANCEL: Table<CancellationRow> = Table {
    name: "cancellation",
    columns: &[
        ("effect_id", Type::UUID, |row| &row.key.effect_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("reason", Type::TEXT, |row| &row.reason),
    ],
    on_conflict: OnConflict::Nothing,
};

const OUTCOME: Table<OutcomeRow> = Table {
    name: "outcome",
    columns: &[
        ("effect_id", Type::UUID, |row| &row.key.effect_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("tenant", Type::TEXT, |row| &row.key.tenant),
        ("correlation", Type::UUID, |row| &row.key.correlation),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("version", Type::INT8, |row| &row.version),
        ("kind", Type::TEXT, |row| &row.kind),
        ("attempt", Type::INT8, |row| &row.attempt),
        ("remote_id", Type::TEXT, |row| &row.remote_id),
        ("remote_version", Type::TEXT, |row| &row.remote_version),
        ("properties_sha256", Type::TEXT, |row| {
            &row.properties_sha256
        }),
        ("code", Type::TEXT, |row| &row.code),
        ("reason", Type::TEXT, |row| &row.reason),
        ("found", Type::BOOL, |row| &row.found),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Rows of each table.
#[derive(Default)]
struct Rows {
    requests: Vec<RequestRow>,
    cancellations: Vec<CancellationRow>,
    outcomes: Vec<OutcomeRow>,
}

impl Rows {
    fn of(changes: Vec<Change>) -> Self {
        let mut rows = Self::default();
        for change in changes {
            match change {
                Change::Requested(row) => rows.requests.push(row),
                Change::Cancelled(row) => rows.cancellations.push(row),
                Change::Outcome(row) => rows.outcomes.push(row),
            }
        }
        rows
    }
}

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let rows = Rows::of(changes);
    REQUEST.append(tx, &rows.requests).await?;
    CANCEL.append(tx, &rows.cancellations).await?;
    OUTCOME.append(tx, &rows.outcomes).await
}

/// Adds rows to tables that have no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let rows = Rows::of(changes);
    REQUEST.copy(tx, &rows.requests).await?;
    CANCEL.copy(tx, &rows.cancellations).await?;
    OUTCOME.copy(tx, &rows.outcomes).await
}
