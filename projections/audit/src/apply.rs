use platform_postgres::{
    OnConflict, Table,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::EventRow;

const EVENT: Table<EventRow> = Table {
    name: "event",
    columns: &[
        ("event_id", Type::UUID, |row| &row.event_id),
        ("topic", Type::TEXT, |row| &row.topic),
        ("log_partition", Type::INT4, |row| &row.partition),
        ("log_offset", Type::INT8, |row| &row.offset),
        ("type", Type::TEXT, |row| &row.name),
        ("stream", Type::TEXT, |row| &row.stream),
        ("version", Type::INT8, |row| &row.version),
        ("tenant", Type::TEXT, |row| &row.tenant),
        ("correlation", Type::UUID, |row| &row.correlation),
        ("causation", Type::UUID, |row| &row.causation),
        ("recorded_at", Type::TIMESTAMPTZ, |row| &row.recorded_at),
        ("source", Type::TEXT, |row| &row.source),
        ("traceparent", Type::TEXT, |row| &row.traceparent),
        ("body", Type::TEXT, |row| &row.body),
        ("value_sha256", Type::TEXT, |row| &row.value_sha256),
        ("actor", Type::TEXT, |row| &row.actor),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Adds the events that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, rows: &[EventRow]) -> Result<(), Error> {
    EVENT.append(tx, rows).await
}

/// Adds events to a table that has no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, rows: &[EventRow]) -> Result<(), Error> {
    EVENT.copy(tx, rows).await
}
