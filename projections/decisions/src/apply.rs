use platform_postgres::{
    OnConflict, Table,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::DecisionRow;

const DECISION: Table<DecisionRow> = Table {
    name: "decision",
    columns: &[
        ("event_id", Type::UUID, |row| &row.event_id),
        ("decision_id", Type::UUID, |row| &row.decision_id),
        ("tenant", Type::TEXT, |row| &row.tenant),
        ("correlation", Type::UUID, |row| &row.correlation),
        ("path", Type::TEXT, |row| &row.path),
        ("bundle_digest", Type::TEXT, |row| &row.bundle_digest),
        ("input", Type::TEXT, |row| &row.input),
        ("result", Type::TEXT, |row| &row.result),
        ("allow", Type::BOOL, |row| &row.allow),
        ("reasons", Type::TEXT, |row| &row.reasons),
        ("engine", Type::TEXT, |row| &row.engine),
        ("duration_us", Type::INT8, |row| &row.duration_us),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.recorded_at),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Adds the decisions that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, rows: &[DecisionRow]) -> Result<(), Error> {
    DECISION.append(tx, rows).await
}

/// Adds decisions to a table that has no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, rows: &[DecisionRow]) -> Result<(), Error> {
    DECISION.copy(tx, rows).await
}
