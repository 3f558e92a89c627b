use platform_postgres::{
    CopyRows, WORTH_COPYING, column, copy_unless_conflict,
    tokio_postgres::{Error, Transaction},
};

use crate::project::EventRow;

const INSERT: &str = "
    INSERT INTO event
        (event_id, topic, log_partition, log_offset, type, stream, version, tenant, correlation,
         causation, recorded_at, source, traceparent, body, value_sha256, actor)
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::int4[], $4::int8[], $5::text[], $6::text[], $7::int8[],
        $8::text[], $9::uuid[], $10::uuid[], $11::timestamptz[], $12::text[], $13::text[],
        $14::text[], $15::text[], $16::text[])
    ON CONFLICT DO NOTHING";

const COPY: &str = "
    COPY event
        (event_id, topic, log_partition, log_offset, type, stream, version, tenant, correlation,
         causation, recorded_at, source, traceparent, body, value_sha256,
         actor)
    FROM STDIN (FORMAT binary)";

/// Adds the events that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, rows: Vec<EventRow>) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.as_slice();
    if rows.len() >= WORTH_COPYING && copy_unless_conflict(tx, COPY, copied(rows)).await? {
        return Ok(());
    }
    tx.execute(
        INSERT,
        &[
            &column(rows, |row| row.event_id),
            &column(rows, |row| row.topic),
            &column(rows, |row| row.partition),
            &column(rows, |row| row.offset),
            &column(rows, |row| row.name),
            &column(rows, |row| row.stream.as_str()),
            &column(rows, |row| row.version),
            &column(rows, |row| row.tenant.as_str()),
            &column(rows, |row| row.correlation),
            &column(rows, |row| row.causation),
            &column(rows, |row| row.recorded_at),
            &column(rows, |row| row.source.as_str()),
            &column(rows, |row| row.traceparent.as_deref()),
            &column(rows, |row| row.body.as_str()),
            &column(rows, |row| row.value_sha256.as_str()),
            &column(rows, |row| row.actor.as_deref()),
        ],
    )
    .await?;
    Ok(())
}

fn copied(rows: &[EventRow]) -> CopyRows {
    let mut copied = CopyRows::new();
    for row in rows {
        copied.push(&[
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
        ]);
    }
    copied
}
