//! The description of the gateway's API, OpenAPI 3.1: made from the handlers'
//! own annotations, with the problems each may answer added from one table.

use std::sync::LazyLock;

use platform_http::axum::http::{HeaderValue, header};
use platform_http::axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::OpenApi as _;

/// As it is served, and kept in `schemas/openapi/gateway.json`.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(generate);

/// What each operation may answer beside what its handler names. Every
/// operation may answer 408, 500 and 503.
const PROBLEMS: [(&str, &[u16]); 10] = [
    ("deliver", &[400, 401, 403, 409, 413, 415, 422, 429]),
    ("deliver_batch", &[400, 401, 413, 415, 429]),
    ("delivery_status", &[401, 403, 404, 429]),
    (
        "invoke",
        &[400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 502, 504],
    ),
    ("execution", &[401, 403, 404, 429]),
    ("cancel_execution", &[401, 403, 404, 429]),
    ("condition", &[401, 429]),
    ("openapi", &[429]),
    ("alive", &[]),
    ("ready", &[]),
];
const ANYWHERE: [u16; 3] = [408, 500, 503];
/// Answers that say when to come back.
const TO_RETRY: [u16; 3] = [409, 429, 503];

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "AgentMesh gateway",
        description = "What strangers meet: webhooks in, questions to agents. Errors are problem details (RFC 9457); their types are listed in docs/problems.md. Where limits are set, every answer says in RateLimit-Policy and RateLimit how its sender stands.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "http://127.0.0.1:3000", description = "local")),
    paths(
        crate::ingest::ingest,
        crate::ingest::batch::batch,
        crate::status::status,
        crate::invoke::invoke,
        crate::invoke::lookup::execution,
        crate::invoke::lookup::cancel,
        crate::condition::condition,
        document,
        elsewhere::alive,
        elsewhere::ready,
    ),
    components(schemas(shape::Problem))
)]
struct Described;

/// What `platform_http` answers for every role.
#[expect(dead_code, reason = "only their descriptions are looked at")]
mod elsewhere {
    use std::collections::BTreeMap;

    use utoipa::ToSchema;

    #[derive(ToSchema)]
    struct Alive {
        /// `ok`.
        status: String,
    }

    #[derive(ToSchema)]
    struct Ready {
        /// `ready` or `not_ready`.
        status: String,
        /// By the name of each part.
        components: BTreeMap<String, Component>,
    }

    #[derive(ToSchema)]
    struct Component {
        /// `ready` or `not_ready`.
        status: String,
        #[schema(nullable = false)]
        reason: Option<String>,
    }

    #[utoipa::path(
        get, path = "/healthz", tag = "about",
        summary = "Whether the process turns",
        responses((status = 200, description = "It does.", body = Alive))
    )]
    fn alive() {}

    #[utoipa::path(
        get, path = "/readyz", tag = "about",
        summary = "Whether it can do its work",
        responses(
            (status = 200, description = "It can.", body = Ready),
            (status = 503, description = "It cannot: a part is not ready, or it is draining.", body = Ready),
        )
    )]
    fn ready() {}
}

/// Bodies that are written and read elsewhere, as their shape is promised.
#[expect(dead_code, reason = "only their shape is looked at")]
pub(crate) mod shape {
    use serde_json::Value;
    use utoipa::ToSchema;

    /// A problem object (RFC 9457); some types have members of their own.
    #[derive(ToSchema)]
    pub(crate) struct Problem {
        /// Stable, and what a program should look at.
        r#type: String,
        title: String,
        status: u16,
        #[schema(nullable = false)]
        detail: Option<String>,
    }

    #[derive(ToSchema)]
    pub(crate) struct Accepted {
        #[schema(format = "uuid")]
        correlation_id: String,
        delivery_id: String,
        status_url: String,
    }

    /// An event in the batched JSON format of CloudEvents; it may have more members.
    #[derive(ToSchema)]
    pub(crate) struct CloudEvent {
        #[schema(pattern = "^1\\.0$")]
        specversion: String,
        #[schema(min_length = 1, max_length = 512)]
        id: String,
        #[schema(min_length = 1, max_length = 512)]
        source: String,
        #[schema(min_length = 1, max_length = 512)]
        r#type: String,
        data: Option<Value>,
    }

    #[derive(ToSchema)]
    pub(crate) struct Batch {
        batch_id: String,
        accepted: u32,
        replayed: u32,
        refused: u32,
        /// One for each event, in their order.
        items: Vec<Item>,
    }

    #[derive(ToSchema)]
    pub(crate) struct Item {
        index: u32,
        /// `accepted`, `replayed` or `refused`.
        outcome: String,
        /// What the event would have been answered on its own.
        status: u16,
        delivery_id: String,
        #[schema(format = "uuid", nullable = false)]
        correlation_id: Option<String>,
        #[schema(nullable = false)]
        status_url: Option<String>,
        #[schema(nullable = false)]
        problem: Option<Problem>,
    }

    #[derive(ToSchema)]
    pub(crate) struct Question {
        /// May be left out where the agent has only one.
        #[schema(min_length = 1, max_length = 128)]
        tool: Option<String>,
        /// The tool's arguments.
        #[schema(value_type = Option<Object>)]
        arguments: Option<Value>,
        /// The compartment whose contexts the agent is shown.
        #[schema(min_length = 1, max_length = 63)]
        space: Option<String>,
        /// Whose history the agent is shown; left out for none.
        #[schema(min_length = 1, max_length = 256)]
        subject: Option<String>,
        /// How long the agent has; 60000 when left out.
        #[schema(minimum = 100, maximum = 3600000)]
        deadline_ms: Option<u64>,
    }

    #[derive(ToSchema)]
    pub(crate) struct Answered {
        #[schema(format = "uuid")]
        execution_id: String,
        #[schema(format = "uuid")]
        correlation_id: String,
        /// `succeeded`.
        status: String,
        status_url: String,
        agent: String,
        tool: String,
        /// As the agent names it.
        model: String,
        /// What the agent took.
        duration_ms: u64,
        /// The tool's structured answer.
        #[schema(value_type = Object)]
        output: Value,
    }

    #[derive(ToSchema)]
    pub(crate) struct Pending {
        #[schema(format = "uuid")]
        execution_id: String,
        #[schema(format = "uuid", nullable = false)]
        correlation_id: Option<String>,
        /// `requested`, or how far it had come.
        status: String,
        #[schema(nullable = false)]
        status_url: Option<String>,
    }

    #[derive(ToSchema)]
    pub(crate) struct Execution {
        #[schema(format = "uuid")]
        execution_id: String,
        #[schema(format = "uuid", nullable = false)]
        correlation_id: Option<String>,
        /// `requested`, `running`, `succeeded`, `failed` or `cancelled`.
        status: String,
        #[schema(nullable = false)]
        agent: Option<String>,
        #[schema(nullable = false)]
        tool: Option<String>,
        #[schema(nullable = false)]
        attempts: Option<i64>,
        /// The contexts the agent was shown.
        #[schema(nullable = false)]
        shown: Option<Vec<String>>,
        model: Option<String>,
        code: Option<String>,
        reason: Option<String>,
        duration_ms: Option<i64>,
        #[schema(nullable = false)]
        requested_at: Option<String>,
        started_at: Option<String>,
        ended_at: Option<String>,
        #[schema(value_type = Option<Object>)]
        output: Option<Value>,
    }
}

/// `GET /openapi.json`
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "about",
    summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Object))
)]
pub(crate) async fn document() -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        DOCUMENT.as_str(),
    )
}

fn generate() -> String {
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    if let Some(paths) = document["paths"].as_object_mut() {
        for operation in paths.values_mut().filter_map(Value::as_object_mut) {
            for operation in operation.values_mut() {
                add_problems(operation);
            }
        }
    }
    let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    let content = json!({"application/problem+json": problem});
    document["components"]["responses"] = json!({
        "Problem": {"description": "What went wrong.", "content": content},
        "ProblemToRetry": {
            "description": "What went wrong, and when to send the same request again.",
            "headers": {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}
            },
            "content": content,
        },
    });
    document["components"]["schemas"]["Question"]["additionalProperties"] = false.into();
    document["components"]["securitySchemes"] = json!({
        "credential": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`amk_…`) or a token of a registered OpenID Connect issuer; not needed where identity.required is off.",
        },
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn add_problems(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let own = PROBLEMS
        .iter()
        .find(|(name, _)| *name == id)
        .map_or(&[][..], |(_, statuses)| *statuses);
    for status in own.iter().chain(&ANYWHERE) {
        let form = if TO_RETRY.contains(status) {
            "ProblemToRetry"
        } else {
            "Problem"
        };
        let response = &mut operation["responses"][status.to_string()];
        if response.is_null() {
            *response = json!({"$ref": format!("#/components/responses/{form}")});
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// With `UPDATE_GOLDEN` set, the published document is written anew.
    #[test]
    fn the_published_document_is_the_generated_one() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../schemas/openapi/gateway.json"
        );
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, DOCUMENT.as_str()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), *DOCUMENT);
    }

    #[test]
    fn every_operation_says_what_may_go_wrong() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let operations: Vec<&str> = paths
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(operations.len(), PROBLEMS.len());
        for (name, _) in PROBLEMS {
            assert!(operations.contains(&name), "{name}");
        }
    }

    #[test]
    fn every_route_is_described() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(|method| (path.as_str(), method.as_str()))
            })
            .collect();
        let mut routed = BTreeSet::from([("/healthz", "get"), ("/readyz", "get")]);
        for route in include_str!("router.rs").split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if route.contains(&format!("{method}(")) {
                    routed.insert((path, method));
                }
            }
        }
        assert_eq!(described, routed);
    }
}
