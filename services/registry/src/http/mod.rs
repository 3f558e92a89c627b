//! `/v1/{kinds}` and `/v1/{kinds}/{id}`.

mod precondition;
mod problem;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain_kernel::TenantId;
use domain_registry::{Resource, ResourceKind};
use platform_http::reqwest::Url;
use platform_http::{Outbound, Problem};
use platform_identity::Asking;
use projections_registry_view::{Entry, RegistryView};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{Instrument as _, error};

use crate::form::{self, Issues, Media, Warnings};
use crate::writer::{Request, Writer};

/// The header that names whose resource it is.
const TENANT: &str = "mesh-tenant";
/// What a credential must open to look, and to change something.
const READ: &str = "registry:read";
const WRITE: &str = "registry:write";
const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) view: RegistryView,
    /// Filled once the schemas are known.
    pub(crate) writer: Arc<OnceLock<Arc<Writer>>>,
    /// Where what is registered may be called.
    pub(crate) outbound: Outbound,
}

pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .route("/v1/{kinds}", get(list))
        .route("/v1/{kinds}/{id}", get(read).put(define).delete(retire))
        .with_state(service)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    /// The id after which to go on.
    after: Option<String>,
}

async fn list(
    State(service): State<Service>,
    Path(kinds): Path<String>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
    asking: Asking,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asking.may(READ)?;
    let kind = kind_of(&kinds)?;
    let tenant = tenant_of(&asking, &headers)?;
    let Query(page) = page.map_err(|error| Problem::bad_request(error.body_text()))?;
    service.readable()?;
    let limit = page.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "limit must be from 1 to {LARGEST_PAGE}"
        )));
    }
    let snapshot = service.view.snapshot();
    let mut items = Vec::new();
    let mut next = None;
    for entry in snapshot.of_tenant(kind, &tenant) {
        if page.after.as_ref().is_some_and(|after| entry.id <= *after) {
            continue;
        }
        if items.len() == limit {
            next = items.last().map(|(id, _): &(String, Value)| id.clone());
            break;
        }
        items.push((entry.id.clone(), show(entry, &Warnings::new())));
    }
    let items: Vec<_> = items.into_iter().map(|(_, item)| item).collect();
    Ok(axum::Json(json!({"items": items, "next": next})).into_response())
}

async fn read(
    State(service): State<Service>,
    Path((kinds, id)): Path<(String, String)>,
    asking: Asking,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asking.may(READ)?;
    let kind = kind_of(&kinds)?;
    let tenant = tenant_of(&asking, &headers)?;
    service.readable()?;
    let entry = service.entry(kind, &id, &tenant)?;
    let tag = [(ETAG, precondition::etag(entry.version))];
    if precondition::is_known(&headers, entry.version) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, axum::Json(show(&entry, &Warnings::new()))).into_response())
}

async fn define(
    State(service): State<Service>,
    Path((kinds, id)): Path<(String, String)>,
    asking: Asking,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    asking.may(WRITE)?;
    let kind = kind_of(&kinds)?;
    let tenant = tenant_of(&asking, &headers)?;
    let precondition = precondition::of_change(&headers)?;
    let media = media_of(kind, &headers)?;
    let body = body.map_err(|error| Problem::of_status(error.status()))?;
    if !form::is_name(&id) {
        return Err(Problem::bad_request(format!("the id {}", form::NAME_RULE)));
    }
    let draft = form::read(kind, media, &body).map_err(|issues| problem::invalid(&issues))?;
    callable(&service.outbound, &draft.resource)
        .await
        .map_err(|issues| problem::invalid(&issues))?;
    let written = service
        .write(Request {
            kind,
            id: id.clone(),
            tenant: tenant.clone(),
            precondition,
            draft: Some(draft),
            actor: asking.actor(),
        })
        .await?;
    let entry = service.entry(kind, &id, &tenant)?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = (
        status,
        [(ETAG, precondition::etag(entry.version))],
        axum::Json(show(&entry, &written.warnings)),
    )
        .into_response();
    if written.created
        && let Ok(location) = format!("/v1/{kinds}/{id}").parse()
    {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// An address that the mesh would call must not lead inside. Names are looked up,
/// so that a mistake is told now; they are looked up again for every connection.
async fn callable(outbound: &Outbound, resource: &Resource) -> Result<(), Issues> {
    let (field, address) = match resource {
        Resource::Agent(agent) => ("/endpoint", &agent.endpoint),
        Resource::Connector(connector) => ("/base_url", &connector.base_url),
        _ => return Ok(()),
    };
    let Ok(url) = Url::parse(address) else {
        return Ok(());
    };
    outbound.check_resolved(&url).await.map_err(|refused| {
        let mut issues = Issues::default();
        issues.add(field, format!("must not be called: {refused}"));
        issues
    })
}

async fn retire(
    State(service): State<Service>,
    Path((kinds, id)): Path<(String, String)>,
    asking: Asking,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asking.may(WRITE)?;
    let kind = kind_of(&kinds)?;
    let tenant = tenant_of(&asking, &headers)?;
    let precondition = precondition::of_change(&headers)?;
    service
        .write(Request {
            kind,
            id,
            tenant,
            precondition,
            draft: None,
            actor: asking.actor(),
        })
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Service {
    /// Nothing is told before everything that was registered is known.
    fn readable(&self) -> Result<(), Problem> {
        if self.view.is_caught_up() {
            Ok(())
        } else {
            Err(Problem::unavailable("still reading what was registered"))
        }
    }

    fn entry(
        &self,
        kind: ResourceKind,
        id: &str,
        tenant: &TenantId,
    ) -> Result<Arc<Entry>, Problem> {
        self.view
            .snapshot()
            .entry(kind, id)
            .filter(|entry| entry.tenant == *tenant && entry.resource.is_some())
            .cloned()
            .ok_or_else(|| Problem::not_found(format!("there is no {} {id}", kind.as_str())))
    }

    /// Follows a command to its end, even when whoever sent it goes away.
    async fn write(&self, request: Request) -> Result<crate::writer::Written, Problem> {
        let writer = self
            .writer
            .get()
            .cloned()
            .ok_or_else(|| Problem::unavailable("the registry is starting"))?;
        let retiring = request.draft.is_none();
        let written = tokio::spawn(async move { writer.write(request).await }.in_current_span());
        match written.await {
            Ok(result) => result.map_err(|failed| problem::of(failed, retiring)),
            Err(error) => {
                error!(error = %error, "a registry command did not end");
                Err(Problem::internal())
            }
        }
    }
}

fn show(entry: &Entry, warnings: &Warnings) -> Value {
    let mut shown = json!({
        "kind": entry.kind.as_str(),
        "id": entry.id,
        "tenant": entry.tenant,
        "version": entry.version,
        "recorded_at": entry.at.to_rfc3339(),
        "resource": entry.resource.as_ref().map(form::show),
    });
    if !warnings.is_empty() {
        shown["warnings"] = warnings
            .iter()
            .map(|warning| json!({"pointer": warning.pointer, "detail": warning.detail}))
            .collect();
    }
    shown
}

fn kind_of(kinds: &str) -> Result<ResourceKind, Problem> {
    ResourceKind::ALL
        .into_iter()
        .find(|kind| plural(*kind) == kinds)
        .ok_or_else(|| {
            let known = ResourceKind::ALL.map(plural).join(", ");
            Problem::not_found(format!("there are no {kinds}; there are {known}"))
        })
}

const fn plural(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Source => "sources",
        ResourceKind::Agent => "agents",
        ResourceKind::Policy => "policies",
        ResourceKind::Subscription => "subscriptions",
        ResourceKind::Workflow => "workflows",
        ResourceKind::Connector => "connectors",
        ResourceKind::Key => "keys",
        ResourceKind::Issuer => "issuers",
        ResourceKind::Certificate => "certificates",
    }
}

/// Whose resources are meant: the credential's tenant, or the one that is named.
fn tenant_of(asking: &Asking, headers: &HeaderMap) -> Result<TenantId, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "the header Mesh-Tenant must name the tenant: it {}",
            form::NAME_RULE
        ))
    };
    let named = match headers.get(TENANT) {
        None => None,
        Some(value) => {
            let name = value.to_str().ok().filter(|tenant| form::is_name(tenant));
            Some(TenantId::new(name.ok_or_else(wrong)?))
        }
    };
    asking.tenant(named)?.ok_or_else(wrong)
}

/// How the body is written, by its declared type; JSON when none is declared.
fn media_of(kind: ResourceKind, headers: &HeaderMap) -> Result<Media, Problem> {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    let essence = declared.split(';').next().unwrap_or_default().trim();
    match (essence.to_ascii_lowercase().as_str(), kind) {
        ("application/json", _) => Ok(Media::Json),
        ("application/yaml" | "application/x-yaml" | "text/yaml", ResourceKind::Workflow) => {
            Ok(Media::Yaml)
        }
        ("text/plain", ResourceKind::Policy) => Ok(Media::Text),
        (_, ResourceKind::Workflow) => Err(Problem::unsupported_media_type(
            "a workflow is application/yaml or application/json",
        )),
        (_, ResourceKind::Policy) => Err(Problem::unsupported_media_type(
            "a policy is application/json, or text/plain with one module",
        )),
        _ => Err(Problem::unsupported_media_type(
            "a resource is application/json",
        )),
    }
}
