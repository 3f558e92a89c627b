//! A user asks an agent: `POST /v1/agents/{agent}/invoke`. The question goes
//! through policy and over the log like everything else; what is different is
//! that somebody waits for the answer.
//!
//! All ids follow from the tenant, the caller and the `Idempotency-Key`. So a
//! question that is asked again after a crash between any two lines is the same
//! question to every reader, and the agent is called once.

mod ask;
mod carry;
mod events;
pub(crate) mod lookup;
mod results;

use std::sync::Arc;
use std::time::Duration;

use domain_kernel::{CorrelationId, ExecutionId, TenantId};
use platform_http::axum::extract::rejection::PathRejection;
use platform_http::axum::extract::{Path, Request, State};
use platform_http::axum::http::request::Parts;
use platform_http::axum::http::{HeaderMap, HeaderName, HeaderValue};
use platform_http::axum::response::{IntoResponse, Response};
use platform_http::{AccessFields, Problem};
use platform_identity::Asking;
use platform_webhooks::is_json;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::{Instrument as _, error};

pub use ask::{Ask, Wanted};
pub use results::Results;

use crate::answers::{Claimed, Given, IdempotencyKey, Lease};
use crate::gateway::Gateway;
use crate::ingest::{json, limit};
use crate::limits::{Admitted, Told};
use crate::{metrics, problems};
use carry::Carried;
use events::Progress;

const TENANT: &str = "mesh-tenant";
const SCOPE: &str = "invoke";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// What a lease outlasts the waiting by: appending, and keeping the answer.
const LEASE_BEYOND: Duration = Duration::from_secs(15);

/// One question, ready to be carried out.
#[derive(Debug)]
struct Question {
    tenant: TenantId,
    asking: Asking,
    agent_id: String,
    tool: String,
    ask: Ask,
    execution_id: ExecutionId,
    correlation: CorrelationId,
    traceparent: Option<String>,
    /// How long an answer is waited for; none for not at all.
    wait: Option<Duration>,
}

/// `POST /v1/agents/{agent}/invoke`
#[utoipa::path(
    post, path = "/v1/agents/{agent}/invoke", operation_id = "invoke", tag = "agents",
    summary = "Ask an agent, and wait for its answer",
    params(
        ("agent" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Under the same key the same question is asked once; 1 to 255 visible ASCII characters, quoted or bare."),
        ("Prefer" = Option<String>, Header, description = "`respond-async` for an address at once, `wait=N` to wait at most N seconds."),
        ("Mesh-Tenant" = Option<String>, Header, description = "Whose agent; needed only where nobody need show a credential."),
    ),
    request_body(content_type = "application/json", content = crate::openapi::shape::Question),
    responses(
        (status = 200, description = "The agent's answer, or its progress as `accepted`, `started`, then `result`, `failed` or `pending`.",
            content(
                (crate::openapi::shape::Answered = "application/json"),
                (String = "text/event-stream"),
            ),
            headers(("Idempotent-Replayed" = Option<String>, description = "`true` when it is the answer of an earlier request."))),
        (status = 202, description = "There is no answer yet; `Location` is where it will be.", body = crate::openapi::shape::Pending,
            headers(("Location" = String, description = "Of the execution."))),
    ),
    security(("credential" = []))
)]
pub(crate) async fn invoke(
    State(gateway): State<Arc<Gateway>>,
    agent: Result<Path<String>, PathRejection>,
    asking: Asking,
    request: Request,
) -> Response {
    let mut told = Told::default();
    let mut access = AccessFields::default();
    let outcome = handle(gateway, agent, asking, request, &mut told, &mut access).await;
    let mut response = match outcome {
        Ok(response) => response,
        Err(problem) => {
            metrics::invoked(problem.slug);
            problem.into_response()
        }
    };
    response.extensions_mut().insert(told);
    response.extensions_mut().insert(access);
    response
}

async fn handle(
    gateway: Arc<Gateway>,
    agent: Result<Path<String>, PathRejection>,
    asking: Asking,
    request: Request,
    told: &mut Told,
    access: &mut AccessFields,
) -> Result<Response, Problem> {
    gateway.look()?;
    asking.may(SCOPE)?;
    let (parts, body) = request.into_parts();
    let tenant = tenant(&asking, &parts.headers)?;
    let charged = gateway.rate_limits.caller(&tenant, asking.actor(), told);
    charged.await?;
    let wanted = Wanted::of(&parts.headers)?;
    let key = IdempotencyKey::of(&parts.headers)?;
    let declared = limit::declared_length(&parts.headers);
    if !is_json(limit::content_type(&parts.headers)?) {
        return Err(limit::not_read());
    }
    let (body, admitted) = gateway.receive(body, declared).await?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let parsed = json::parse(&body).map_err(|error| problems::not_json(error.to_string()))?;
    let ask = Ask::read(parsed)?;
    let agent_id = agent
        .map(|Path(agent)| agent)
        .map_err(|_| no_such_agent())?;
    let tool = tool_of(&gateway, &tenant, &agent_id, &ask)?;
    // Not before: where nobody need show a credential, anybody may name a tenant.
    access.tenant = Some(tenant.as_str().to_owned());
    let room = gateway
        .invocations
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("too many callers wait for answers"))?;

    let caller = asking.0.as_ref().map(|caller| caller.actor());
    let caller = caller.as_ref().map_or("", |actor| actor.as_str());
    let route = format!("invoke/{agent_id}");
    // Without a key a question is asked anew each time.
    let scoped = match &key {
        Some(key) => key.scoped(tenant.as_str(), caller, &route),
        None => rand::random(),
    };
    let wait = match (wanted.respond_async, wanted.wait) {
        (true, _) => None,
        (false, Some(wait)) => Some(wait.min(gateway.invoke_wait)),
        (false, None) => Some(gateway.invoke_wait),
    };
    let lease = match key {
        None => None,
        Some(_) => {
            let lease = gateway.invoke_wait + LEASE_BEYOND;
            match gateway.answers.claim(scoped, digest, lease).await? {
                Claimed::First(lease) => Some(lease),
                Claimed::Again(given) => {
                    metrics::invoked("replayed");
                    return Ok(replayed(&given, wanted.events));
                }
                Claimed::OtherBody => return Err(problems::key_reused()),
                Claimed::InFlight => return Err(problems::request_in_flight()),
            }
        }
    };
    let execution_id = ExecutionId::derive(&["request", &hex::encode(scoped)]);
    let question = Question {
        tenant,
        agent_id,
        tool,
        execution_id,
        correlation: CorrelationId::derive(&["request", &execution_id.to_string()]),
        traceparent: traceparent(&parts),
        asking,
        ask,
        wait,
    };
    access.correlation = Some(question.correlation.to_string());
    // A caller who goes away does not undo what was asked: it is carried on, and
    // its answer is there for whoever asks again under the key.
    let (progress, events) = mpsc::channel(8);
    let carrying = carry_out(gateway, question, lease, (admitted, room), progress);
    let carrying = carrying.in_current_span();
    let carrying = tokio::spawn(carrying);
    if wanted.events {
        return Ok(events::stream(events).into_response());
    }
    drop(events);
    let given = carrying.await.map_err(|error| {
        error!(error = %error, "a question was not carried out to its end");
        Problem::internal()
    })??;
    let mut response = given.response(false);
    if wanted.respond_async {
        response.headers_mut().insert(
            PREFERENCE_APPLIED,
            HeaderValue::from_static("respond-async"),
        );
    }
    Ok(response)
}

/// Carries a question out and keeps its answer.
async fn carry_out(
    gateway: Arc<Gateway>,
    question: Question,
    lease: Option<Lease>,
    (admitted, _room): (Admitted, OwnedSemaphorePermit),
    progress: mpsc::Sender<Progress>,
) -> Result<Given, Problem> {
    let carried = carry::carry(&gateway, &question, admitted, &progress).await;
    let (given, keep) = match carried {
        Ok(Carried { given, outcome }) => {
            metrics::invoked(outcome);
            (Ok(given), true)
        }
        // Nothing was asked of anybody, or nobody knows: it may be asked again.
        Err(problem) => (Err(problem), false),
    };
    if let Some(lease) = lease {
        match &given {
            Ok(given) if keep => gateway.answers.keep(lease, given).await,
            _ => gateway.answers.release(lease).await,
        }
    }
    let last = match &given {
        Ok(given) => Progress::of(given),
        Err(problem) => Progress::of_problem(problem),
    };
    // Whoever listened may be gone.
    let _ = progress.send(last).await;
    given
}

/// The answer that was given, in the form that is wanted now.
fn replayed(given: &Given, events: bool) -> Response {
    if !events {
        return given.response(true);
    }
    let (sender, receiver) = mpsc::channel(1);
    // There is room for one.
    let _ = sender.try_send(Progress::of(given));
    let mut response = events::stream(receiver).into_response();
    response.headers_mut().insert(
        HeaderName::from_static("idempotent-replayed"),
        HeaderValue::from_static("true"),
    );
    response
}

/// Whose agents are asked: the credential's tenant, or the one that is named
/// where nobody need show a credential.
pub(crate) fn tenant(asking: &Asking, headers: &HeaderMap) -> Result<TenantId, Problem> {
    let named = match headers.get(TENANT) {
        None => None,
        Some(value) => {
            let name = value.to_str().ok().filter(|name| !name.is_empty());
            let name =
                name.ok_or_else(|| Problem::bad_request("the header Mesh-Tenant is not readable"))?;
            Some(TenantId::new(name))
        }
    };
    asking
        .tenant(named)?
        .ok_or_else(|| Problem::bad_request("the header Mesh-Tenant must name the tenant"))
}

fn no_such_agent() -> Problem {
    Problem::not_found("there is no such agent")
}

/// The tool that is meant, if the agent is registered with it.
fn tool_of(
    gateway: &Gateway,
    tenant: &TenantId,
    agent_id: &str,
    ask: &Ask,
) -> Result<String, Problem> {
    let snapshot = gateway.view.snapshot();
    let agent = snapshot
        .agent(agent_id)
        .filter(|agent| agent.tenant == tenant)
        .ok_or_else(no_such_agent)?;
    let tools = &agent.resource.tools;
    match (&ask.tool, tools.as_slice()) {
        (Some(tool), _) if tools.contains(tool) => Ok(tool.clone()),
        (Some(_), _) => Err(Problem::bad_request("the agent has no such tool")),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Problem::bad_request(
            "the agent has several tools: name one as tool",
        )),
    }
}

fn traceparent(parts: &Parts) -> Option<String> {
    platform_telemetry::current_traceparent().or_else(|| {
        let theirs = parts.headers.get("traceparent")?.to_str().ok()?;
        platform_telemetry::valid_traceparent(theirs).then(|| theirs.to_owned())
    })
}
