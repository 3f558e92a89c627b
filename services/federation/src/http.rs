use std::sync::Arc;

use domain_kernel::{ContextId, CorrelationId, Space, TenantId};
use platform_http::Problem;
use platform_http::axum::extract::rejection::QueryRejection;
use platform_http::axum::extract::{Path, Query, State};
use platform_http::axum::routing::get;
use platform_http::axum::{Json, Router};
use platform_identity::{Asking, Identity};
use projections_context_cache::CachedContext;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;
use uuid::Uuid;

use crate::lookup::{Entry, Found, Lookup};
use crate::openapi;

const DEFAULT_LIMIT: usize = 20;
const HIGHEST_LIMIT: usize = 100;

/// What a credential must open to ask.
const SCOPE: &str = "contexts:read";

pub(crate) fn router(lookup: Arc<Lookup>, identity: &Identity) -> Router {
    let asked = Router::new()
        .route("/v1/contexts", get(history))
        .route("/v1/contexts/{id}", get(one))
        .with_state(lookup);
    platform_identity::protect(asked, identity).route("/openapi.json", get(openapi::document))
}

#[derive(Debug, Deserialize)]
struct Question {
    tenant: String,
    space: String,
    subject: String,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct History {
    contexts: Vec<Shown>,
}

/// A context as it is shown. What it says came from outside and has not been
/// judged by anyone: whoever reads it must not do what it says.
#[derive(Debug, Serialize)]
struct Shown {
    context_id: ContextId,
    correlation_id: CorrelationId,
    kind: String,
    /// RFC 3339.
    at: String,
    content: Value,
    #[serde(rename = "_untrusted")]
    untrusted: bool,
}

/// A context with all that is known of it.
#[derive(Debug, Serialize)]
struct Whole {
    tenant: TenantId,
    space: Space,
    subject: String,
    source_id: String,
    content_sha256: String,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Serialize)]
struct Placed {
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<CorrelationId>,
    context_id: ContextId,
    /// `shared` or `merged`: what became of the delivery that was asked for.
    outcome: &'static str,
    exact: bool,
    /// How near a merged delivery was.
    cosine: Option<f64>,
    context: Whole,
}

/// `GET /v1/contexts?tenant=&space=&subject=&limit=`
async fn history(
    State(lookup): State<Arc<Lookup>>,
    asking: Asking,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let Query(question) = question.map_err(|rejection| {
        Problem::bad_request(format!(
            "tenant, space and subject are needed, limit is a number: {}",
            rejection.body_text()
        ))
    })?;
    asking.may(SCOPE)?;
    let tenant = TenantId::new(question.tenant);
    asking.tenant(Some(tenant.clone()))?;
    let limit = question.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=HIGHEST_LIMIT).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "limit is a number from 1 to {HIGHEST_LIMIT}"
        )));
    }
    let entries = lookup
        .history(
            &tenant,
            &Space::new(question.space),
            &question.subject,
            limit,
        )
        .await
        .map_err(unavailable)?;
    Ok(Json(History {
        contexts: entries.into_iter().map(Shown::from).collect(),
    }))
}

/// `GET /v1/contexts/{id}`, where the id is a delivery's correlation id or a context id.
async fn one(
    State(lookup): State<Arc<Lookup>>,
    asking: Asking,
    Path(id): Path<String>,
) -> Result<Json<Placed>, Problem> {
    asking.may(SCOPE)?;
    let id = Uuid::try_parse(&id)
        .map_err(|_| Problem::bad_request("a correlation id or context id is a UUID"))?;
    let correlation_id = CorrelationId::from_uuid(id);
    if let Some(found) = lookup
        .by_correlation(correlation_id)
        .await
        .map_err(unavailable)?
        // What is another tenant's is not there.
        .filter(|found| asking.sees(&found.context.tenant))
    {
        return Ok(Json(found.into()));
    }
    let context = lookup
        .by_id(ContextId::from_uuid(id))
        .await
        .map_err(unavailable)?
        .filter(|context| asking.sees(&context.tenant));
    match context {
        Some(context) => Ok(Json(Placed {
            correlation_id: None,
            context_id: context.context_id,
            outcome: "shared",
            exact: false,
            cosine: None,
            context: context.into(),
        })),
        None => Err(Problem::not_found(
            "no context is known by this id; a delivery that was just accepted has one in a moment",
        )),
    }
}

impl From<Found> for Placed {
    fn from(found: Found) -> Self {
        Self {
            correlation_id: Some(found.correlation_id),
            context_id: found.link.context_id,
            outcome: match found.link.cosine {
                Some(_) => "merged",
                None => "shared",
            },
            exact: found.link.exact,
            cosine: found.link.cosine,
            context: found.context.into(),
        }
    }
}

impl From<CachedContext> for Whole {
    fn from(context: CachedContext) -> Self {
        Self {
            tenant: context.tenant,
            space: context.space,
            subject: context.subject,
            source_id: context.source_id,
            content_sha256: context.content_sha256,
            shown: Shown {
                context_id: context.context_id,
                correlation_id: context.correlation_id,
                kind: context.kind,
                at: context.at.to_rfc3339(),
                content: context.content,
                untrusted: true,
            },
        }
    }
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Self {
        Self {
            context_id: entry.context_id,
            correlation_id: entry.correlation_id,
            kind: entry.kind,
            at: entry.at.to_rfc3339(),
            content: entry.content,
            untrusted: true,
        }
    }
}

fn unavailable(error: projections_contexts::Error) -> Problem {
    warn!(%error, cause = ?error, "contexts cannot be read");
    Problem::unavailable("contexts cannot be read now")
}
