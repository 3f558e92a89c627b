//! Policy, the log, and the wait for the answer.

use std::time::Duration;

use domain_execution::{
    ExecutionEvent, ExecutionFailed, ExecutionRequest, ExecutionRequested, ExecutionSucceeded,
    USER_STEP,
};
use domain_kernel::{EventId, Json, Metadata, Recorded, Space, WorkflowId};
use platform_http::Problem;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Question;
use super::events::Progress;
use crate::answers::Given;
use crate::gateway::Gateway;
use crate::ingest::{Context, NotAppended};
use crate::limits::Admitted;
use crate::refusals::SOURCE;
use crate::{metrics, problems};

/// The rule that is asked.
pub(crate) const POLICY_PATH: &str = "mesh/invoke";
/// How long an agent has where the caller does not say.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long who is told the address waits for it to be known.
const NOTED: Duration = Duration::from_millis(250);

/// How it ended: an answer to keep.
pub(super) struct Carried {
    pub(super) given: Given,
    pub(super) outcome: &'static str,
}

/// Carries `question` out.
///
/// # Errors
/// When policy says no or nothing, or the log does not take it: nothing is to be
/// remembered then.
pub(super) async fn carry(
    gateway: &Gateway,
    question: &Question,
    admitted: Admitted,
    progress: &mpsc::Sender<Progress>,
) -> Result<Carried, Problem> {
    let began = Instant::now();
    let input = input(question);
    let decided = gateway
        .policies
        .ask(&question.tenant, question.correlation, POLICY_PATH, input)
        .map_err(|error| {
            error!(agent.id = %question.agent_id, error = %error, cause = ?error, "policy could not be asked");
            metrics::policy_unanswered();
            problems::policy_unavailable()
        })?;
    let now = platform_telemetry::now();
    let context = Context {
        tenant: question.tenant.clone(),
        correlation: question.correlation,
        at: now,
        traceparent: question.traceparent.clone(),
        actor: question.asking.actor(),
    };
    let decision_id = decided.decision_id;
    let not_appended = |error: NotAppended| match error {
        NotAppended::TooLarge(_) => Problem::too_large(gateway.max_body_bytes)
            .detail("the arguments grow beyond what the log takes as one record"),
        error => {
            warn!(error = %error, cause = ?error, "question not appended");
            gateway.log_trouble.notify_one();
            problems::question_not_stored()
        }
    };
    if !decided.allow {
        gateway
            .appender
            .decided(&context, decided)
            .await
            .map_err(not_appended)?;
        info!(decision.id = %decision_id, "question denied by policy");
        return Err(problems::question_denied(decision_id));
    }
    let deadline = question.ask.deadline.unwrap_or(DEADLINE);
    let requested = requested(question, now.plus_millis(deadline.as_millis() as i64));
    // Before it is asked for: the answer may be faster than the acknowledgement.
    let mut awaited = gateway.results.of(question.execution_id);
    gateway
        .appender
        .asked(&context, decided, |causation| {
            recorded(&context, causation, requested)
        })
        .await
        .map_err(not_appended)?;
    // Who waits for an agent keeps no delivery out.
    drop(admitted);
    info!(execution.id = %question.execution_id, agent.id = %question.agent_id, "question asked");
    let noted = gateway.note_asked(question.execution_id, &question.tenant);
    let status_url = status_url(gateway, question);
    // A listener that is slow is not waited for: it gets the last word anyway.
    let _ = progress.try_send(Progress::accepted(question.execution_id, &status_url));
    let Some(wait) = question.wait else {
        // Without it the address is told nothing for a moment longer.
        let _ = tokio::time::timeout(NOTED, noted).await;
        return Ok(pending(question, &status_url));
    };
    let until = began + wait;
    loop {
        let event = tokio::time::timeout_at(until, awaited.next()).await;
        match event {
            Ok(Some(ExecutionEvent::Started(started))) => {
                let _ = progress.try_send(Progress::started(started.attempt, &started.shown));
            }
            Ok(Some(ExecutionEvent::Succeeded(succeeded))) => {
                let model = Duration::from_millis(succeeded.duration_ms);
                metrics::invoke_overhead(began.elapsed().saturating_sub(model));
                return Ok(answer(question, &status_url, &succeeded));
            }
            Ok(Some(ExecutionEvent::Failed(failed))) => {
                return Ok(failure(question, &status_url, &failed));
            }
            Ok(None) | Err(_) => return Ok(pending(question, &status_url)),
        }
    }
}

fn status_url(gateway: &Gateway, question: &Question) -> String {
    format!(
        "{}/v1/executions/{}",
        gateway.public_url, question.execution_id
    )
}

fn input(question: &Question) -> Value {
    let caller = question.asking.0.as_ref();
    json!({
        "tenant": question.tenant,
        "caller": caller.map(|caller| json!({
            "subject": caller.subject,
            "method": caller.method.as_str(),
            "key_id": caller.key_id,
            "scopes": caller.scopes,
        })),
        "agent": question.agent_id,
        "tool": question.tool,
        "arguments": question.ask.arguments,
        "space": question.ask.space,
        "subject": question.ask.subject,
    })
}

fn requested(question: &Question, deadline: domain_kernel::Timestamp) -> ExecutionRequested {
    ExecutionRequested {
        execution_id: question.execution_id,
        // No workflow has this id; readers look for the step.
        workflow_id: WorkflowId::derive(&["request", &question.execution_id.to_string()]),
        step: USER_STEP.to_owned(),
        compensation: false,
        agent_id: question.agent_id.clone(),
        tool: question.tool.clone(),
        arguments: Json::from_text(Value::Object(question.ask.arguments.clone()).to_string()),
        space: Space::new(question.ask.space.clone()),
        subject: question.ask.subject.clone().unwrap_or_default(),
        deadline,
    }
}

fn recorded(
    context: &Context,
    causation: EventId,
    requested: ExecutionRequested,
) -> Recorded<ExecutionRequest> {
    let stream = requested.execution_id.to_string();
    Recorded {
        meta: Metadata {
            id: EventId::derive(&["execution", &stream]),
            tenant: context.tenant.clone(),
            correlation: context.correlation,
            causation: Some(causation),
            stream,
            version: 1,
            at: context.at,
            source: SOURCE.to_owned(),
            traceparent: context.traceparent.clone(),
            actor: context.actor.clone(),
        },
        event: ExecutionRequest::Requested(requested),
    }
}

fn pending(question: &Question, status_url: &str) -> Carried {
    Carried {
        given: Given {
            status: 202,
            content_type: "application/json".to_owned(),
            location: Some(status_url.to_owned()),
            body: json!({
                "execution_id": question.execution_id,
                "correlation_id": question.correlation,
                "status": "requested",
                "status_url": status_url,
            })
            .to_string(),
        },
        outcome: "pending",
    }
}

fn answer(question: &Question, status_url: &str, succeeded: &ExecutionSucceeded) -> Carried {
    // What an agent answers is JSON, or it would not have become an event.
    let output: Value = serde_json::from_str(succeeded.output.as_str()).unwrap_or_default();
    Carried {
        given: Given {
            status: 200,
            content_type: "application/json".to_owned(),
            location: None,
            body: json!({
                "execution_id": question.execution_id,
                "correlation_id": question.correlation,
                "status": "succeeded",
                "status_url": status_url,
                "agent": question.agent_id,
                "tool": question.tool,
                "model": succeeded.model,
                "duration_ms": succeeded.duration_ms,
                "output": output,
            })
            .to_string(),
        },
        outcome: "succeeded",
    }
}

fn failure(question: &Question, status_url: &str, failed: &ExecutionFailed) -> Carried {
    let problem = problems::agent_failed(&failed.code)
        .detail(failed.reason.clone())
        .with("code", failed.code.clone())
        .with("execution_id", question.execution_id.to_string())
        .with("correlation_id", question.correlation.to_string())
        .with("status_url", status_url);
    Carried {
        given: Given {
            status: problem.status.as_u16(),
            content_type: platform_http::PROBLEM_CONTENT_TYPE.to_owned(),
            location: None,
            body: problem.to_json().to_string(),
        },
        outcome: "failed",
    }
}
