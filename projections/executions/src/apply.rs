use platform_postgres::{
    OnConflict, Table,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::{CancellationRow, Change, EndingRow, RequestRow, StartRow};

const REQUEST: Table<RequestRow> = Table {
    name: "request",
    columns: &[
        ("execution_id", Type::UUID, |row| &row.key.execution_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("tenant", Type::TEXT, |row| &row.tenant),
        ("correlation", Type::UUID, |row| &row.correlation),
        ("workflow_id", Type::UUID, |row| &row.workflow_id),
        ("step", Type::TEXT, |row| &row.step),
        ("compensation", Type::BOOL, |row| &row.compensation),
        ("agent_id", Type::TEXT, |row| &row.agent_id),
        ("tool", Type::TEXT, |row| &row.tool),
        ("arguments", Type::TEXT, |row| &row.arguments),
        ("space", Type::TEXT, |row| &row.space),
        ("subject", Type::TEXT, |row| &row.subject),
        ("deadline", Type::TIMESTAMPTZ, |row| &row.deadline),
    ],
    on_conflict: OnConflict::Nothing,
};

const CANCEL: Table<CancellationRow> = Table {
    name: "cancellation",
    columns: &[
        ("execution_id", Type::UUID, |row| &row.key.execution_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("reason", Type::TEXT, |row| &row.reason),
    ],
    on_conflict: OnConflict::Nothing,
};

const START: Table<StartRow> = Table {
    name: "start",
    columns: &[
        ("execution_id", Type::UUID, |row| &row.key.execution_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("version", Type::INT8, |row| &row.version),
        ("shown", Type::TEXT, |row| &row.shown),
        ("arguments_sha256", Type::TEXT, |row| &row.arguments_sha256),
        ("attempt", Type::INT8, |row| &row.attempt),
    ],
    on_conflict: OnConflict::Nothing,
};

const END: Table<EndingRow> = Table {
    name: "ending",
    columns: &[
        ("execution_id", Type::UUID, |row| &row.key.execution_id),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("succeeded", Type::BOOL, |row| &row.succeeded),
        ("output", Type::TEXT, |row| &row.output),
        ("model", Type::TEXT, |row| &row.model),
        ("code", Type::TEXT, |row| &row.code),
        ("reason", Type::TEXT, |row| &row.reason),
        ("duration_ms", Type::INT8, |row| &row.duration_ms),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Rows of each table.
#[derive(Default)]
struct Rows {
    requests: Vec<RequestRow>,
    cancellations: Vec<CancellationRow>,
    starts: Vec<StartRow>,
    endings: Vec<EndingRow>,
}

impl Rows {
    fn of(changes: Vec<Change>) -> Self {
        let mut rows = Self::default();
        for change in changes {
            match change {
                Change::Requested(row) => rows.requests.push(row),
                Change::Cancelled(row) => rows.cancellations.push(row),
                Change::Started(row) => rows.starts.push(row),
                Change::Ended(row) => rows.endings.push(row),
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
    START.append(tx, &rows.starts).await?;
    END.append(tx, &rows.endings).await
}

/// Adds rows to tables that have no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let rows = Rows::of(changes);
    REQUEST.copy(tx, &rows.requests).await?;
    CANCEL.copy(tx, &rows.cancellations).await?;
    START.copy(tx, &rows.starts).await?;
    END.copy(tx, &rows.endings).await
}
