use std::time::SystemTime;

use domain_kernel::{ContextId, CorrelationId, Json, TenantId, Timestamp, WorkflowId};
use platform_postgres::{Client, Pool, micros, tokio_postgres::Row};
use serde::Serialize;

use crate::Error;

/// A workflow run as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    pub workflow_id: WorkflowId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub definition_id: Option<String>,
    pub definition_digest: Option<String>,
    pub context_id: Option<ContextId>,
    pub kind: Option<String>,
    pub subject: Option<String>,
    /// `running`, `compensating`, `succeeded`, `compensated` or `parked`.
    pub status: String,
    pub failed_step: Option<String>,
    pub reason: Option<String>,
    pub started_at: Option<Timestamp>,
    pub changed_at: Timestamp,
    pub version: i64,
    /// In the order of the definition.
    pub steps: Vec<Step>,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub step: String,
    /// `pending`, `running`, `succeeded`, `skipped`, `failed`, `compensating`,
    /// `compensated` or `parked`.
    pub status: String,
    /// `agent` or `effect`.
    pub call: Option<String>,
    /// Who was asked: `agent/tool`, or `connector/object/external id`.
    pub target: Option<String>,
    /// JSON.
    pub output: Option<Json>,
    pub code: Option<String>,
    pub reason: Option<String>,
    /// Of the compensation.
    pub attempts: Option<i64>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub compensated_at: Option<Timestamp>,
}

/// The runs of one correlation with their steps, oldest first.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(pool: &Pool, correlation: CorrelationId) -> Result<Vec<Run>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select("WHERE correlation = $1 ORDER BY started_at, workflow_id"),
            &[&correlation.as_uuid()],
        )
        .await?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in &rows {
        runs.push(run(&client, row).await?);
    }
    Ok(runs)
}

/// One run with its steps.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_id(pool: &Pool, id: WorkflowId) -> Result<Option<Run>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(&select("WHERE workflow_id = $1"), &[&id.as_uuid()])
        .await?;
    match row {
        Some(row) => Ok(Some(run(&client, &row).await?)),
        None => Ok(None),
    }
}

fn select(which: &str) -> String {
    format!(
        "SELECT workflow_id, tenant, correlation, definition_id, definition_digest, context_id, kind,
                subject, status, failed_step, reason, started_at, changed_at, version
         FROM workflows.run {which}"
    )
}

async fn run(client: &Client, row: &Row) -> Result<Run, Error> {
    let workflow_id = WorkflowId::from_uuid(row.try_get(0)?);
    Ok(Run {
        workflow_id,
        tenant: TenantId::new(row.try_get::<_, String>(1)?),
        correlation: CorrelationId::from_uuid(row.try_get(2)?),
        definition_id: row.try_get(3)?,
        definition_digest: row.try_get(4)?,
        context_id: row.try_get::<_, Option<_>>(5)?.map(ContextId::from_uuid),
        kind: row.try_get(6)?,
        subject: row.try_get(7)?,
        status: row.try_get(8)?,
        failed_step: row.try_get(9)?,
        reason: row.try_get(10)?,
        started_at: time(row, 11)?,
        changed_at: Timestamp::from_micros(micros(row.try_get(12)?)),
        version: row.try_get(13)?,
        steps: steps(client, workflow_id).await?,
    })
}

async fn steps(client: &Client, id: WorkflowId) -> Result<Vec<Step>, Error> {
    let rows = client
        .query(
            "SELECT step, status, call, target, output, code, reason, attempts, started_at, ended_at,
                    compensated_at
             FROM workflows.step WHERE workflow_id = $1 ORDER BY ordinal, step",
            &[&id.as_uuid()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Step {
                step: row.try_get(0)?,
                status: row.try_get(1)?,
                call: row.try_get(2)?,
                target: row.try_get(3)?,
                output: row.try_get::<_, Option<String>>(4)?.map(Json::from_text),
                code: row.try_get(5)?,
                reason: row.try_get(6)?,
                attempts: row.try_get(7)?,
                started_at: time(row, 8)?,
                ended_at: time(row, 9)?,
                compensated_at: time(row, 10)?,
            })
        })
        .collect()
}

fn time(row: &Row, column: usize) -> Result<Option<Timestamp>, Error> {
    let at: Option<SystemTime> = row.try_get(column)?;
    Ok(at.map(|at| Timestamp::from_micros(micros(at))))
}
