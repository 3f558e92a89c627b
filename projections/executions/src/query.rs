use domain_kernel::{
    ContextId, CorrelationId, ExecutionId, Json, Space, TenantId, Timestamp, WorkflowId,
};
use platform_postgres::{Pool, micros, storable, tokio_postgres::Row};
use serde::Serialize;

use crate::Error;

/// One line of the agent execution log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Execution {
    pub execution_id: ExecutionId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub workflow_id: WorkflowId,
    pub step: String,
    pub compensation: bool,
    pub agent_id: String,
    pub tool: String,
    /// JSON, as requested: without the history.
    pub arguments: Json,
    pub space: Space,
    pub subject: String,
    pub deadline: Timestamp,
    /// `requested`, `running`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    pub attempts: i64,
    /// The contexts in the history the agent was shown at its last attempt, oldest first.
    pub shown: Vec<ContextId>,
    pub arguments_sha256: Option<String>,
    /// JSON.
    pub output: Option<Json>,
    pub model: Option<String>,
    pub code: Option<String>,
    pub reason: Option<String>,
    /// Milliseconds.
    pub duration_ms: Option<i64>,
    pub requested_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// The executions of one correlation, oldest first.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(
    pool: &Pool,
    correlation: CorrelationId,
) -> Result<Vec<Execution>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select("WHERE correlation = $1 ORDER BY requested_at, execution_id"),
            &[&correlation.as_uuid()],
        )
        .await?;
    rows.iter().map(execution).collect()
}

/// One execution.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_id(pool: &Pool, id: ExecutionId) -> Result<Option<Execution>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(&select("WHERE execution_id = $1"), &[&id.as_uuid()])
        .await?;
    row.as_ref().map(execution).transpose()
}

/// The latest executions of a tenant, newest first.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn latest(pool: &Pool, tenant: &TenantId, limit: u32) -> Result<Vec<Execution>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select("WHERE tenant = $1 ORDER BY requested_at DESC, execution_id LIMIT $2"),
            &[&storable(tenant.as_str()), &i64::from(limit)],
        )
        .await?;
    rows.iter().map(execution).collect()
}

fn select(which: &str) -> String {
    format!(
        "SELECT execution_id, tenant, correlation, workflow_id, step, compensation, agent_id, tool,
                arguments, space, subject, deadline, status, attempts, shown, arguments_sha256,
                output, model, code, reason, duration_ms, requested_at, started_at, ended_at
         FROM executions.execution {which}"
    )
}

fn execution(row: &Row) -> Result<Execution, Error> {
    let at = |column| -> Result<Option<Timestamp>, Error> {
        Ok(row
            .try_get::<_, Option<_>>(column)?
            .map(|at| Timestamp::from_micros(micros(at))))
    };
    let shown: String = row.try_get(14)?;
    Ok(Execution {
        execution_id: ExecutionId::from_uuid(row.try_get(0)?),
        tenant: TenantId::new(row.try_get::<_, String>(1)?),
        correlation: CorrelationId::from_uuid(row.try_get(2)?),
        workflow_id: WorkflowId::from_uuid(row.try_get(3)?),
        step: row.try_get(4)?,
        compensation: row.try_get(5)?,
        agent_id: row.try_get(6)?,
        tool: row.try_get(7)?,
        arguments: Json::from_text(row.try_get::<_, String>(8)?),
        space: Space::new(row.try_get::<_, String>(9)?),
        subject: row.try_get(10)?,
        deadline: Timestamp::from_micros(micros(row.try_get(11)?)),
        status: row.try_get(12)?,
        attempts: row.try_get(13)?,
        shown: serde_json::from_str(&shown)?,
        arguments_sha256: row.try_get(15)?,
        output: row.try_get::<_, Option<String>>(16)?.map(Json::from_text),
        model: row.try_get(17)?,
        code: row.try_get(18)?,
        reason: row.try_get(19)?,
        duration_ms: row.try_get(20)?,
        requested_at: Timestamp::from_micros(micros(row.try_get(21)?)),
        started_at: at(22)?,
        ended_at: at(23)?,
    })
}
