use platform_postgres::{
    copy_rows,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::DecisionRow;

const INTO: &str = "decision
    (event_id, decision_id, tenant, correlation, path, bundle_digest, input, result, allow,
     reasons, engine, duration_us, recorded_at)";

const TYPES: [Type; 13] = [
    Type::UUID,
    Type::UUID,
    Type::TEXT,
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::TIMESTAMPTZ,
];

/// Adds decisions to a table that has no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, rows: &[DecisionRow]) -> Result<(), Error> {
    copy_rows(tx, INTO, &TYPES, rows, |row| {
        vec![
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
        ]
    })
    .await?;
    Ok(())
}
