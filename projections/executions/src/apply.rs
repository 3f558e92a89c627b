use platform_postgres::{
    column,
    tokio_postgres::{Error, Transaction},
};

use crate::project::{CancellationRow, Change, EndingRow, RequestRow, StartRow};

const REQUEST: &str = "
    INSERT INTO request
        (execution_id, event_id, recorded_at, tenant, correlation, workflow_id, step, compensation,
         agent_id, tool, arguments, space, subject, deadline)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::uuid[], $6::uuid[], $7::text[],
        $8::bool[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::timestamptz[])
    ON CONFLICT DO NOTHING";

const CANCEL: &str = "
    INSERT INTO cancellation (execution_id, event_id, recorded_at, reason)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[])
    ON CONFLICT DO NOTHING";

const START: &str = "
    INSERT INTO start
        (execution_id, event_id, recorded_at, version, shown, arguments_sha256, attempt)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::timestamptz[], $4::int8[], $5::text[], $6::text[], $7::int8[])
    ON CONFLICT DO NOTHING";

const END: &str = "
    INSERT INTO ending
        (execution_id, event_id, recorded_at, succeeded, output, model, code, reason, duration_ms)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::timestamptz[], $4::bool[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::int8[])
    ON CONFLICT DO NOTHING";

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let mut requests = Vec::new();
    let mut cancellations = Vec::new();
    let mut starts = Vec::new();
    let mut endings = Vec::new();
    for change in changes {
        match change {
            Change::Requested(row) => requests.push(row),
            Change::Cancelled(row) => cancellations.push(row),
            Change::Started(row) => starts.push(row),
            Change::Ended(row) => endings.push(row),
        }
    }
    if !requests.is_empty() {
        request(tx, &requests).await?;
    }
    if !cancellations.is_empty() {
        cancel(tx, &cancellations).await?;
    }
    if !starts.is_empty() {
        start(tx, &starts).await?;
    }
    if !endings.is_empty() {
        end(tx, &endings).await?;
    }
    Ok(())
}

async fn request(tx: &Transaction<'_>, rows: &[RequestRow]) -> Result<u64, Error> {
    tx.execute(
        REQUEST,
        &[
            &column(rows, |row| row.key.execution_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.tenant.as_str()),
            &column(rows, |row| row.correlation),
            &column(rows, |row| row.workflow_id),
            &column(rows, |row| row.step.as_str()),
            &column(rows, |row| row.compensation),
            &column(rows, |row| row.agent_id.as_str()),
            &column(rows, |row| row.tool.as_str()),
            &column(rows, |row| row.arguments.as_str()),
            &column(rows, |row| row.space.as_str()),
            &column(rows, |row| row.subject.as_str()),
            &column(rows, |row| row.deadline),
        ],
    )
    .await
}

async fn cancel(tx: &Transaction<'_>, rows: &[CancellationRow]) -> Result<u64, Error> {
    tx.execute(
        CANCEL,
        &[
            &column(rows, |row| row.key.execution_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.reason.as_str()),
        ],
    )
    .await
}

async fn start(tx: &Transaction<'_>, rows: &[StartRow]) -> Result<u64, Error> {
    tx.execute(
        START,
        &[
            &column(rows, |row| row.key.execution_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.version),
            &column(rows, |row| row.shown.as_str()),
            &column(rows, |row| row.arguments_sha256.as_str()),
            &column(rows, |row| row.attempt),
        ],
    )
    .await
}

async fn end(tx: &Transaction<'_>, rows: &[EndingRow]) -> Result<u64, Error> {
    tx.execute(
        END,
        &[
            &column(rows, |row| row.key.execution_id),
            &column(rows, |row| row.key.event_id),
            &column(rows, |row| row.key.recorded_at),
            &column(rows, |row| row.succeeded),
            &column(rows, |row| row.output.as_deref()),
            &column(rows, |row| row.model.as_deref()),
            &column(rows, |row| row.code.as_deref()),
            &column(rows, |row| row.reason.as_deref()),
            &column(rows, |row| row.duration_ms),
        ],
    )
    .await
}
