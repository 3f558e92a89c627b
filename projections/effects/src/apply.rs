use platform_postgres::{
    column,
    tokio_postgres::{Error, Transaction},
};

use crate::project::{CancellationRow, Change, OutcomeRow, RequestRow};

const REQUEST: &str = "
    INSERT INTO request
        (effect_id, event_id, tenant, correlation, recorded_at, workflow_id, step, compensation,
         connector_id, operation, object, id_property, external_id, properties, deadline)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[],
        $8::bool[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
        $15::timestamptz[])
    ON CONFLICT DO NOTHING";

const CANCEL: &str = "
    INSERT INTO cancellation (effect_id, event_id, recorded_at, reason)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[])
    ON CONFLICT DO NOTHING";

const OUTCOME: &str = "
    INSERT INTO outcome
        (effect_id, event_id, tenant, correlation, recorded_at, version, kind, attempt, remote_id,
         remote_version, properties_sha256, code, reason, found)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[], $6::int8[], $7::text[],
        $8::int8[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bool[])
    ON CONFLICT DO NOTHING";

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let mut requests = Vec::new();
    let mut cancellations = Vec::new();
    let mut outcomes = Vec::new();
    for change in changes {
        match change {
            Change::Requested(row) => requests.push(row),
            Change::Cancelled(row) => cancellations.push(row),
            Change::Outcome(row) => outcomes.push(row),
        }
    }
    if !requests.is_empty() {
        request(tx, &requests).await?;
    }
    if !cancellations.is_empty() {
        cancel(tx, &cancellations).await?;
    }
    if !outcomes.is_empty() {
        outcome(tx, &outcomes).await?;
    }
    Ok(())
}

async fn request(tx: &Transaction<'_>, rows: &[RequestRow]) -> Result<u64, Error> {
    tx.execute(
        REQUEST,
        &[
            &column(rows, |row| row.key.effect_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.tenant.as_str()),
            &column(rows, |row| row.key.correlation),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.workflow_id),
            &column(rows, |row| row.step.as_str()),
            &column(rows, |row| row.compensation),
            &column(rows, |row| row.connector_id.as_str()),
            &column(rows, |row| row.operation),
            &column(rows, |row| row.object.as_str()),
            &column(rows, |row| row.id_property.as_str()),
            &column(rows, |row| row.external_id.as_str()),
            &column(rows, |row| row.properties.as_str()),
            &column(rows, |row| row.deadline),
        ],
    )
    .await
}

async fn cancel(tx: &Transaction<'_>, rows: &[CancellationRow]) -> Result<u64, Error> {
    tx.execute(
        CANCEL,
        &[
            &column(rows, |row| row.key.effect_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.reason.as_str()),
        ],
    )
    .await
}

async fn outcome(tx: &Transaction<'_>, rows: &[OutcomeRow]) -> Result<u64, Error> {
    tx.execute(
        OUTCOME,
        &[
            &column(rows, |row| row.key.effect_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.tenant.as_str()),
            &column(rows, |row| row.key.correlation),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.version),
            &column(rows, |row| row.kind),
            &column(rows, |row| row.attempt),
            &column(rows, |row| row.remote_id.as_deref()),
            &column(rows, |row| row.remote_version.as_deref()),
            &column(rows, |row| row.properties_sha256.as_deref()),
            &column(rows, |row| row.code.as_deref()),
            &column(rows, |row| row.reason.as_deref()),
            &column(rows, |row| row.found),
        ],
    )
    .await
}
