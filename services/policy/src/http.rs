//! OPA's data API, as far as clients that ask for decisions use it.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain_kernel::TenantId;
use platform_http::{Component, Problem};
use platform_identity::{Asking, Identity};
use platform_rego::{Bundles, ENGINE};
use projections_registry_view::RegistryView;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::decide;
use crate::record::Recorder;

const TENANT: &str = "mesh-tenant";
/// What a credential must open to ask.
const SCOPE: &str = "policy:decide";
const BUNDLE_DIGEST: HeaderName = HeaderName::from_static("mesh-bundle-digest");

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) view: RegistryView,
    pub(crate) bundles: Arc<Bundles>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) component: Component,
}

pub(crate) fn router(service: Service, identity: &Identity) -> Router {
    let asked = Router::new()
        .route("/v1/data/{*path}", post(ask).get(ask_by_query))
        .with_state(service.clone());
    let health = Router::new()
        .route("/health", get(health))
        .with_state(service);
    platform_identity::protect(asked, identity).merge(health)
}

/// OPA's query parameters. Those that only change how much is told of the
/// evaluation are accepted and have no effect.
#[derive(Debug, Default, Deserialize)]
struct Options {
    /// With `GET`: the input as JSON text.
    input: Option<String>,
    #[serde(default)]
    provenance: Option<String>,
    #[serde(default)]
    metrics: Option<String>,
}

async fn ask(
    State(service): State<Service>,
    Path(path): Path<String>,
    options: Result<Query<Options>, QueryRejection>,
    asking: Asking,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let options = read_options(options)?;
    let body = body.map_err(|error| Problem::of_status(error.status()))?;
    let input = if body.is_empty() {
        None
    } else {
        let mut members: Map<String, Value> = serde_json::from_slice(&body).map_err(|error| {
            // Line and column only: the input is not to show in logs.
            invalid(format!(
                "the body must be a JSON object with input: it is not one at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        members.remove("input")
    };
    service
        .answer(&path, input, &options, &asking, &headers)
        .await
}

async fn ask_by_query(
    State(service): State<Service>,
    Path(path): Path<String>,
    options: Result<Query<Options>, QueryRejection>,
    asking: Asking,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let options = read_options(options)?;
    let input = match &options.input {
        Some(text) => Some(
            serde_json::from_str(text)
                .map_err(|_| invalid("the query parameter input must be JSON".to_owned()))?,
        ),
        None => None,
    };
    service
        .answer(&path, input, &options, &asking, &headers)
        .await
}

async fn health(State(service): State<Service>) -> Response {
    // OPA answers 500 while it is not healthy.
    let status = if service.component.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    (status, axum::Json(json!({}))).into_response()
}

impl Service {
    async fn answer(
        &self,
        path: &str,
        input: Option<Value>,
        options: &Options,
        asking: &Asking,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        asking.may(SCOPE)?;
        if !self.view.is_caught_up() {
            return Err(unavailable("still reading the policies"));
        }
        let tenant = self.tenant(asking, headers)?;
        let snapshot = self.view.snapshot();
        let bundle =
            decide::bundle(&snapshot, &self.bundles, &tenant).map_err(|error| failed(&error))?;
        let decision_id = self.recorder.next_id();
        let input_missing = input.is_none();
        let path = path.trim_matches('/');
        let input = input.unwrap_or_else(|| json!({}));
        let (decided, result) =
            decide::decide(&bundle, decision_id, path, &input).map_err(|error| match error {
                platform_rego::Error::Path { .. } => invalid(error.to_string()),
                error => failed(&error),
            })?;
        metrics::histogram!("agentmesh_policy_decision_seconds")
            .record(decided.duration_us as f64 / 1_000_000.0);
        let duration_ns = decided.duration_us.saturating_mul(1_000);
        metrics::counter!("agentmesh_policy_decisions_total", "allow" => allow_label(decided.allow))
            .increment(1);
        // An answer is given once it is on the log, and not otherwise.
        self.recorder
            .record(tenant.clone(), asking.actor(), decided)
            .await
            .map_err(|_| unavailable("the log does not take the decision"))?;

        let mut answer = Map::new();
        answer.insert("decision_id".to_owned(), decision_id.to_string().into());
        if let Some(result) = result {
            answer.insert("result".to_owned(), result);
        }
        if input_missing {
            answer.insert(
                "warning".to_owned(),
                json!({
                    "code": "api_usage_warning",
                    "message": "'input' key missing from the request",
                }),
            );
        }
        if is_set(options.provenance.as_deref()) {
            let bundles = Map::from_iter([(
                tenant.as_str().to_owned(),
                json!({"revision": bundle.digest()}),
            )]);
            answer.insert(
                "provenance".to_owned(),
                json!({"version": ENGINE, "bundles": bundles}),
            );
        }
        if is_set(options.metrics.as_deref()) {
            answer.insert(
                "metrics".to_owned(),
                json!({"timer_rego_query_eval_ns": duration_ns}),
            );
        }
        let mut response = axum::Json(Value::Object(answer)).into_response();
        if let Ok(digest) = HeaderValue::from_str(bundle.digest()) {
            response.headers_mut().insert(BUNDLE_DIGEST, digest);
        }
        Ok(response)
    }

    /// Whose policies are asked: the credential's tenant, the header, or the only
    /// tenant there is.
    fn tenant(&self, asking: &Asking, headers: &HeaderMap) -> Result<TenantId, Problem> {
        let named = match headers.get(TENANT) {
            Some(value) => Some(
                value
                    .to_str()
                    .ok()
                    .filter(|tenant| !tenant.is_empty())
                    .map(TenantId::new)
                    .ok_or_else(|| invalid("the header Mesh-Tenant is not readable".to_owned()))?,
            ),
            None => None,
        };
        asking
            .tenant(named)?
            .or_else(|| decide::only_tenant(&self.view))
            .ok_or_else(|| invalid("the header Mesh-Tenant must name the tenant".to_owned()))
    }
}

const fn allow_label(allow: bool) -> &'static str {
    if allow { "true" } else { "false" }
}

fn read_options(options: Result<Query<Options>, QueryRejection>) -> Result<Options, Problem> {
    options
        .map(|Query(options)| options)
        .map_err(|error| invalid(error.body_text()))
}

/// OPA takes `?provenance` and `?provenance=true` alike.
fn is_set(flag: Option<&str>) -> bool {
    flag.is_some_and(|flag| matches!(flag, "" | "true" | "1"))
}

/// A problem that OPA's clients understand too: they look for `code` and `message`.
fn opa(problem: Problem, code: &'static str) -> Problem {
    let message = problem.detail.clone().unwrap_or_default();
    problem.with("code", code).with("message", message)
}

fn invalid(detail: String) -> Problem {
    opa(Problem::bad_request(detail), "invalid_parameter")
}

fn unavailable(detail: &str) -> Problem {
    opa(Problem::unavailable(detail), "unavailable")
}

/// Policy that cannot be asked means deny; the one who asks must not take it
/// for an answer.
fn failed(error: &platform_rego::Error) -> Problem {
    warn!(error = %error, "a policy could not be evaluated");
    metrics::counter!("agentmesh_policy_errors_total").increment(1);
    opa(
        Problem::internal().detail("the policy could not be evaluated"),
        "internal_error",
    )
}
