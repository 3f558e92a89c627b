use platform_postgres::{
    copy_rows,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::EventRow;

const INTO: &str = "event
    (event_id, topic, log_partition, log_offset, type, stream, version, tenant, correlation,
     causation, recorded_at, source, traceparent, body, value_sha256, actor)";

const TYPES: [Type; 16] = [
    Type::UUID,
    Type::TEXT,
    Type::INT4,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::TEXT,
    Type::UUID,
    Type::UUID,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
];

/// Adds events to a table that has no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, rows: &[EventRow]) -> Result<(), Error> {
    copy_rows(tx, INTO, &TYPES, rows, |row| {
        vec![
            &row.event_id,
            &row.topic,
            &row.partition,
            &row.offset,
            &row.name,
            &row.stream,
            &row.version,
            &row.tenant,
            &row.correlation,
            &row.causation,
            &row.recorded_at,
            &row.source,
            &row.traceparent,
            &row.body,
            &row.value_sha256,
            &row.actor,
        ]
    })
    .await?;
    Ok(())
}
