use domain_kernel::{CorrelationId, DecisionId, EventId, Json, TenantId, Timestamp};
use platform_postgres::{Pool, micros, tokio_postgres::Row};
use serde::Serialize;

use crate::Error;

/// One question to policy and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub event_id: EventId,
    pub decision_id: DecisionId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub path: String,
    pub bundle_digest: String,
    /// JSON.
    pub input: Json,
    /// JSON; none when the rule was undefined.
    pub result: Option<Json>,
    pub allow: bool,
    pub reasons: Vec<String>,
    pub engine: String,
    /// Microseconds.
    pub duration_us: i64,
    pub recorded_at: Timestamp,
}

/// What policy said about one correlation, oldest first.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(
    pool: &Pool,
    correlation: CorrelationId,
) -> Result<Vec<Decision>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select("WHERE correlation = $1 ORDER BY recorded_at, event_id"),
            &[&correlation.as_uuid()],
        )
        .await?;
    rows.iter().map(decision).collect()
}

/// One decision.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_id(pool: &Pool, id: DecisionId) -> Result<Option<Decision>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(
            &select("WHERE decision_id = $1 ORDER BY recorded_at, event_id LIMIT 1"),
            &[&id.as_uuid()],
        )
        .await?;
    row.as_ref().map(decision).transpose()
}

fn select(which: &str) -> String {
    format!(
        "SELECT event_id, decision_id, tenant, correlation, path, bundle_digest, input, result,
                allow, reasons, engine, duration_us, recorded_at
         FROM decisions.decision {which}"
    )
}

fn decision(row: &Row) -> Result<Decision, Error> {
    let reasons: String = row.try_get(9)?;
    Ok(Decision {
        event_id: EventId::from_uuid(row.try_get(0)?),
        decision_id: DecisionId::from_uuid(row.try_get(1)?),
        tenant: TenantId::new(row.try_get::<_, String>(2)?),
        correlation: CorrelationId::from_uuid(row.try_get(3)?),
        path: row.try_get(4)?,
        bundle_digest: row.try_get(5)?,
        input: Json::from_text(row.try_get::<_, String>(6)?),
        result: row.try_get::<_, Option<String>>(7)?.map(Json::from_text),
        allow: row.try_get(8)?,
        reasons: serde_json::from_str(&reasons)?,
        engine: row.try_get(10)?,
        duration_us: row.try_get(11)?,
        recorded_at: Timestamp::from_micros(micros(row.try_get(12)?)),
    })
}
