use domain_kernel::{CorrelationId, EffectId, Json, TenantId, Timestamp, WorkflowId};
use platform_postgres::{Pool, micros, tokio_postgres::Row};
use serde::Serialize;

use crate::Error;

/// One write and the last that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    pub effect_id: EffectId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    pub connector_id: String,
    pub operation: String,
    pub object: String,
    pub id_property: String,
    pub external_id: String,
    /// JSON.
    pub properties: Json,
    pub deadline: Timestamp,
    /// `requested`, `cancelled`, `attempted`, `confirmed`, `failed` or `unknown`.
    pub status: String,
    pub attempts: i64,
    pub remote_id: Option<String>,
    pub remote_version: Option<String>,
    pub properties_sha256: Option<String>,
    pub code: Option<String>,
    pub reason: Option<String>,
    pub requested_at: Timestamp,
    pub changed_at: Option<Timestamp>,
}

/// One step of the way of one write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub version: i64,
    /// `attempted`, `confirmed`, `failed`, `unknown` or `reconciled`.
    pub kind: String,
    pub attempt: Option<i64>,
    pub remote_id: Option<String>,
    pub remote_version: Option<String>,
    pub code: Option<String>,
    pub reason: Option<String>,
    pub found: Option<bool>,
    pub recorded_at: Timestamp,
}

/// The writes of one correlation, oldest first.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(pool: &Pool, correlation: CorrelationId) -> Result<Vec<Effect>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select("WHERE correlation = $1 ORDER BY requested_at, effect_id"),
            &[&correlation.as_uuid()],
        )
        .await?;
    rows.iter().map(effect).collect()
}

/// One write.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_id(pool: &Pool, id: EffectId) -> Result<Option<Effect>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(&select("WHERE effect_id = $1"), &[&id.as_uuid()])
        .await?;
    row.as_ref().map(effect).transpose()
}

/// Everything that came of one write, in order.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn outcomes(pool: &Pool, id: EffectId) -> Result<Vec<Outcome>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            "SELECT version, kind, attempt, remote_id, remote_version, code, reason, found, recorded_at
             FROM effects.outcome WHERE effect_id = $1 ORDER BY version",
            &[&id.as_uuid()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Outcome {
                version: row.try_get(0)?,
                kind: row.try_get(1)?,
                attempt: row.try_get(2)?,
                remote_id: row.try_get(3)?,
                remote_version: row.try_get(4)?,
                code: row.try_get(5)?,
                reason: row.try_get(6)?,
                found: row.try_get(7)?,
                recorded_at: Timestamp::from_micros(micros(row.try_get(8)?)),
            })
        })
        .collect()
}

fn select(which: &str) -> String {
    format!(
        "SELECT effect_id, tenant, correlation, workflow_id, step, compensation, connector_id, operation,
                object, id_property, external_id, properties, deadline, status, attempts, remote_id,
                remote_version, properties_sha256, code, reason, requested_at, changed_at
         FROM effects.effect {which}"
    )
}

fn effect(row: &Row) -> Result<Effect, Error> {
    Ok(Effect {
        effect_id: EffectId::from_uuid(row.try_get(0)?),
        tenant: TenantId::new(row.try_get::<_, String>(1)?),
        correlation: CorrelationId::from_uuid(row.try_get(2)?),
        workflow_id: WorkflowId::from_uuid(row.try_get(3)?),
        step: row.try_get(4)?,
        compensation: row.try_get(5)?,
        connector_id: row.try_get(6)?,
        operation: row.try_get(7)?,
        object: row.try_get(8)?,
        id_property: row.try_get(9)?,
        external_id: row.try_get(10)?,
        properties: Json::from_text(row.try_get::<_, String>(11)?),
        deadline: Timestamp::from_micros(micros(row.try_get(12)?)),
        status: row.try_get(13)?,
        attempts: row.try_get(14)?,
        remote_id: row.try_get(15)?,
        remote_version: row.try_get(16)?,
        properties_sha256: row.try_get(17)?,
        code: row.try_get(18)?,
        reason: row.try_get(19)?,
        requested_at: Timestamp::from_micros(micros(row.try_get(20)?)),
        changed_at: row
            .try_get::<_, Option<_>>(21)?
            .map(|at| Timestamp::from_micros(micros(at))),
    })
}
