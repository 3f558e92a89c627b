//! `GET` and `DELETE /v1/executions/{id}`: how a question stands, and that its
//! answer is no longer wanted.

use std::str::FromStr as _;
use std::sync::Arc;

use domain_execution::{ExecutionCancelled, ExecutionRequest, USER_STEP};
use domain_kernel::{EventId, ExecutionId, Json, Metadata, Recorded};
use platform_http::Problem;
use platform_http::axum::extract::rejection::PathRejection;
use platform_http::axum::extract::{Path, State};
use platform_http::axum::http::StatusCode;
use platform_http::axum::response::{IntoResponse, Response};
use platform_identity::Asking;
use projections_executions::Execution;
use serde_json::{Value, json};
use tracing::warn;

use crate::gateway::Gateway;
use crate::problems;
use crate::refusals::SOURCE;

/// `GET /v1/executions/{id}`
#[utoipa::path(
    get, path = "/v1/executions/{id}", operation_id = "execution", tag = "agents",
    summary = "How a question stands",
    params(("id" = String, Path)),
    responses((status = 200, description = "As far as it has come.", body = crate::openapi::shape::Execution)),
    security(("credential" = []))
)]
pub(crate) async fn execution(
    State(gateway): State<Arc<Gateway>>,
    asking: Asking,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    asking.may("read")?;
    let id = parse(id)?;
    let found = find(&gateway, &asking, id).await;
    if let Ok(Some(found)) = &found {
        return Ok(platform_http::axum::Json(show(found)).into_response());
    }
    // The read model is a moment behind, or away: what was asked a moment ago is
    // known all the same.
    if gateway
        .was_asked(id)
        .await
        .is_some_and(|tenant| asking.sees(&tenant))
    {
        let requested = json!({"execution_id": id, "status": "requested"});
        return Ok(platform_http::axum::Json(requested).into_response());
    }
    Err(found.err().unwrap_or_else(unknown))
}

/// `DELETE /v1/executions/{id}`: asks that it be called off. A call that is
/// under way is interrupted; one that has its answer keeps it.
#[utoipa::path(
    delete, path = "/v1/executions/{id}", operation_id = "cancel_execution", tag = "agents",
    summary = "Call a question off",
    params(("id" = String, Path)),
    responses((status = 202, description = "Whoever carries it out is told.", body = crate::openapi::shape::Pending)),
    security(("credential" = []))
)]
pub(crate) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    asking: Asking,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    asking.may("invoke")?;
    let id = parse(id)?;
    let found = find(&gateway, &asking, id).await?.ok_or_else(unknown)?;
    // A workflow calls off its own.
    if found.step != USER_STEP {
        return Err(unknown());
    }
    let stream = id.to_string();
    let cancelled = Recorded {
        meta: Metadata {
            id: EventId::derive(&["cancel", &stream]),
            tenant: found.tenant.clone(),
            correlation: found.correlation,
            causation: Some(EventId::derive(&["execution", &stream])),
            stream,
            version: 2,
            at: platform_telemetry::now(),
            source: SOURCE.to_owned(),
            traceparent: platform_telemetry::current_traceparent(),
            actor: asking.actor(),
        },
        event: ExecutionRequest::Cancelled(ExecutionCancelled {
            execution_id: id,
            workflow_id: found.workflow_id,
            step: found.step.clone(),
            reason: "called off by the caller".to_owned(),
        }),
    };
    gateway
        .appender
        .cancelled(&cancelled)
        .await
        .map_err(|error| {
            warn!(error = %error, cause = ?error, "cancellation not appended");
            gateway.log_trouble.notify_one();
            problems::question_not_stored()
        })?;
    let body = json!({"execution_id": id, "status": found.status});
    Ok((StatusCode::ACCEPTED, platform_http::axum::Json(body)).into_response())
}

fn parse(id: Result<Path<String>, PathRejection>) -> Result<ExecutionId, Problem> {
    id.ok()
        .and_then(|Path(id)| ExecutionId::from_str(&id).ok())
        .ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("no execution has this id")
}

/// The execution, unless it is another tenant's: then it is not there.
async fn find(
    gateway: &Gateway,
    asking: &Asking,
    id: ExecutionId,
) -> Result<Option<Execution>, Problem> {
    let asked = || projections_executions::by_id(&gateway.pool, id);
    let found = gateway.read_models.ask("executions", asked).await?;
    Ok(found.filter(|found| asking.sees(&found.tenant)))
}

fn show(found: &Execution) -> Value {
    let output = found.output.as_ref().map(Json::as_str);
    let output: Option<Value> = output.and_then(|text| serde_json::from_str(text).ok());
    json!({
        "execution_id": found.execution_id,
        "correlation_id": found.correlation,
        "status": found.status,
        "agent": found.agent_id,
        "tool": found.tool,
        "attempts": found.attempts,
        "shown": found.shown,
        "model": found.model,
        "code": found.code,
        "reason": found.reason,
        "duration_ms": found.duration_ms,
        "requested_at": found.requested_at.to_rfc3339_millis(),
        "started_at": found.started_at.map(|at| at.to_rfc3339_millis()),
        "ended_at": found.ended_at.map(|at| at.to_rfc3339_millis()),
        "output": output,
    })
}
