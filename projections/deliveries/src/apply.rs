use platform_postgres::{
    CopyRows, WORTH_COPYING, column, copy_unless_conflict,
    tokio_postgres::{Error, Transaction},
};

use crate::project::{AcceptedRow, Change, RefusedRow};

const ACCEPT: &str = "
    INSERT INTO accepted
        (correlation, event_id, tenant, space, source_id, delivery_id, event_type, subject, scheme,
         auth, key_id, content_type, body_sha256, body_bytes, recorded_at, log_partition, log_offset)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::int8[],
        $15::timestamptz[], $16::int4[], $17::int8[])
    ON CONFLICT DO NOTHING";

const COPY_ACCEPTED: &str = "
    COPY accepted
        (correlation, event_id, tenant, space, source_id, delivery_id, event_type, subject, scheme,
         auth, key_id, content_type, body_sha256, body_bytes, recorded_at, log_partition, log_offset)
    FROM STDIN (FORMAT binary)";

const REFUSE: &str = "
    INSERT INTO refused
        (event_id, correlation, tenant, space, source_id, reason, detail, body_sha256, body_bytes,
         recorded_at, log_partition, log_offset)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::int8[], $10::timestamptz[], $11::int4[], $12::int8[])
    ON CONFLICT DO NOTHING";

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for change in changes {
        match change {
            Change::Accepted(row) => accepted.push(row),
            Change::Refused(row) => refused.push(row),
        }
    }
    if !accepted.is_empty() {
        accept(tx, &accepted).await?;
    }
    if !refused.is_empty() {
        refuse(tx, &refused).await?;
    }
    Ok(())
}

async fn accept(tx: &Transaction<'_>, rows: &[AcceptedRow]) -> Result<(), Error> {
    if rows.len() >= WORTH_COPYING && copy_unless_conflict(tx, COPY_ACCEPTED, copied(rows)).await? {
        return Ok(());
    }
    tx.execute(
        ACCEPT,
        &[
            &column(rows, |row| row.key.correlation),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.tenant.as_str()),
            &column(rows, |row| row.key.space.as_str()),
            &column(rows, |row| row.key.source_id.as_str()),
            &column(rows, |row| row.delivery_id.as_str()),
            &column(rows, |row| row.event_type.as_str()),
            &column(rows, |row| row.subject.as_deref()),
            &column(rows, |row| row.scheme.as_str()),
            &column(rows, |row| row.auth),
            &column(rows, |row| row.key_id.as_deref()),
            &column(rows, |row| row.content_type.as_str()),
            &column(rows, |row| row.body_sha256.as_str()),
            &column(rows, |row| row.body_bytes),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.key.partition),
            &column(rows, |row| row.key.offset),
        ],
    )
    .await?;
    Ok(())
}

fn copied(rows: &[AcceptedRow]) -> CopyRows {
    let mut copied = CopyRows::new();
    for row in rows {
        copied.push(&[
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
        ]);
    }
    copied
}

async fn refuse(tx: &Transaction<'_>, rows: &[RefusedRow]) -> Result<u64, Error> {
    tx.execute(
        REFUSE,
        &[
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.correlation),
            &column(rows, |row| row.key.tenant.as_str()),
            &column(rows, |row| row.key.space.as_str()),
            &column(rows, |row| row.key.source_id.as_str()),
            &column(rows, |row| row.reason),
            &column(rows, |row| row.detail.as_str()),
            &column(rows, |row| row.body_sha256.as_str()),
            &column(rows, |row| row.body_bytes),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.key.partition),
            &column(rows, |row| row.key.offset),
        ],
    )
    .await
}
