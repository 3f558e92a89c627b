use platform_postgres::{
    OnConflict, Table,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::{AcceptedRow, Change, RefusedRow};

const ACCEPTED: Table<AcceptedRow> = Table {
    name: "accepted",
    columns: &[
        ("correlation", Type::UUID, |row| &row.key.correlation),
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("tenant", Type::TEXT, |row| &row.key.tenant),
        ("space", Type::TEXT, |row| &row.key.space),
        ("source_id", Type::TEXT, |row| &row.key.source_id),
        ("delivery_id", Type::TEXT, |row| &row.delivery_id),
        ("event_type", Type::TEXT, |row| &row.event_type),
        ("subject", Type::TEXT, |row| &row.subject),
        ("scheme", Type::TEXT, |row| &row.scheme),
        ("auth", Type::TEXT, |row| &row.auth),
        ("key_id", Type::TEXT, |row| &row.key_id),
        ("content_type", Type::TEXT, |row| &row.content_type),
        ("body_sha256", Type::TEXT, |row| &row.body_sha256),
        ("body_bytes", Type::INT8, |row| &row.body_bytes),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("log_partition", Type::INT4, |row| &row.key.partition),
        ("log_offset", Type::INT8, |row| &row.key.offset),
    ],
    on_conflict: OnConflict::Nothing,
};

const REFUSED: Table<RefusedRow> = Table {
    name: "refused",
    columns: &[
        ("event_id", Type::UUID, |row| &row.key.event_id),
        ("correlation", Type::UUID, |row| &row.key.correlation),
        ("tenant", Type::TEXT, |row| &row.key.tenant),
        ("space", Type::TEXT, |row| &row.key.space),
        ("source_id", Type::TEXT, |row| &row.key.source_id),
        ("reason", Type::TEXT, |row| &row.reason),
        ("detail", Type::TEXT, |row| &row.detail),
        ("body_sha256", Type::TEXT, |row| &row.body_sha256),
        ("body_bytes", Type::INT8, |row| &row.body_bytes),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.key.recorded_at),
        ("log_partition", Type::INT4, |row| &row.key.partition),
        ("log_offset", Type::INT8, |row| &row.key.offset),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let (accepted, refused) = by_table(changes);
    ACCEPTED.append(tx, &accepted).await?;
    REFUSED.append(tx, &refused).await
}

/// Adds rows to tables that have no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let (accepted, refused) = by_table(changes);
    ACCEPTED.copy(tx, &accepted).await?;
    REFUSED.copy(tx, &refused).await
}

fn by_table(changes: Vec<Change>) -> (Vec<AcceptedRow>, Vec<RefusedRow>) {
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for change in changes {
        match change {
            Change::Accepted(row) => accepted.push(row),
            Change::Refused(row) => refused.push(row),
        }
    }
    (accepted, refused)
}
