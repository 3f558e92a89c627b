use platform_postgres::{
    copy_rows,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::{AcceptedRow, Change, RefusedRow};

const ACCEPTED: &str = "accepted
    (correlation, event_id, tenant, space, source_id, delivery_id, event_type, subject, scheme,
     auth, key_id, content_type, body_sha256, body_bytes, recorded_at, log_partition, log_offset)";

const ACCEPTED_TYPES: [Type; 17] = [
    Type::UUID,
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::INT8,
];

const REFUSED: &str = "refused
    (event_id, correlation, tenant, space, source_id, reason, detail, body_sha256, body_bytes,
     recorded_at, log_partition, log_offset)";

const REFUSED_TYPES: [Type; 12] = [
    Type::UUID,
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::INT8,
];

/// Adds deliveries to tables that have no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let mut accepted: Vec<AcceptedRow> = Vec::new();
    let mut refused: Vec<RefusedRow> = Vec::new();
    for change in changes {
        match change {
            Change::Accepted(row) => accepted.push(row),
            Change::Refused(row) => refused.push(row),
        }
    }
    if !accepted.is_empty() {
        copy_rows(tx, ACCEPTED, &ACCEPTED_TYPES, &accepted, |row| {
            vec![
                &row.key.correlation,
                &row.key.event_id,
                &row.key.tenant,
                &row.key.space,
                &row.key.source_id,
                &row.delivery_id,
                &row.event_type,
                &row.subject,
                &row.scheme,
                &row.auth,
                &row.key_id,
                &row.content_type,
                &row.body_sha256,
                &row.body_bytes,
                &row.key.recorded_at,
                &row.key.partition,
                &row.key.offset,
            ]
        })
        .await?;
    }
    if !refused.is_empty() {
        copy_rows(tx, REFUSED, &REFUSED_TYPES, &refused, |row| {
            vec![
                &row.key.event_id,
                &row.key.correlation,
                &row.key.tenant,
                &row.key.space,
                &row.key.source_id,
                &row.reason,
                &row.detail,
                &row.body_sha256,
                &row.body_bytes,
                &row.key.recorded_at,
                &row.key.partition,
                &row.key.offset,
            ]
        })
        .await?;
    }
    Ok(())
}
