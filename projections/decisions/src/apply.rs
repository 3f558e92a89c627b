use platform_postgres::{
    CopyRows, WORTH_COPYING, column, copy_unless_conflict,
    tokio_postgres::{Error, Transaction},
};

use crate::project::DecisionRow;

const INSERT: &str = "
    INSERT INTO decision
        (event_id, decision_id, tenant, correlation, path, bundle_digest, input, result, allow,
         reasons, engine, duration_us, recorded_at)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::bool[], $10::text[], $11::text[], $12::int8[], $13::timestamptz[])
    ON CONFLICT DO NOTHING";

const COPY: &str = "
    COPY decision
        (event_id, decision_id, tenant, correlation, path, bundle_digest, input, result, allow,
         reasons, engine, duration_us, recorded_at)
    FROM STDIN (FORMAT binary)";

/// Adds the decisions that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, rows: Vec<DecisionRow>) -> Result<(), Error> {
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
            &column(rows, |row| row.decision_id),
            &column(rows, |row| row.tenant.as_str()),
            &column(rows, |row| row.correlation),
            &column(rows, |row| row.path.as_str()),
            &column(rows, |row| row.bundle_digest.as_str()),
            &column(rows, |row| row.input.as_str()),
            &column(rows, |row| row.result.as_deref()),
            &column(rows, |row| row.allow),
            &column(rows, |row| row.reasons.as_str()),
            &column(rows, |row| row.engine.as_str()),
            &column(rows, |row| row.duration_us),
            &column(rows, |row| row.recorded_at),
        ],
    )
    .await?;
    Ok(())
}

fn copied(rows: &[DecisionRow]) -> CopyRows {
    let mut copied = CopyRows::new();
    for row in rows {
        copied.push(&[
            &row.event_id,
            &row.decision_id,
            &row.tenant,
            &row.correlation,
            &row.path,
            &row.bundle_digest,
            &row.input,
            &row.result,
            &row.allow,
            &row.reasons,
            &row.engine,
            &row.duration_us,
            &row.recorded_at,
        ]);
    }
    copied
}
