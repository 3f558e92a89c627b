//! How the gateway itself stands: what waits, what is under way, which circuits
//! are open. Numbers and versions only; whoever may reach the port may know them.

use std::collections::BTreeMap;
use std::sync::Arc;

use platform_http::axum::Json;
use platform_http::axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::gateway::Gateway;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Condition {
    version: &'static str,
    /// Records that wait for the log.
    queue: Level,
    /// Deliveries under way, and questions that are not on the log yet.
    requests: Level,
    /// By what lies behind each: `closed`, `open` or `half-open`.
    #[schema(value_type = BTreeMap<String, String>)]
    circuits: BTreeMap<&'static str, &'static str>,
    rate_limits: RateLimits,
}

#[derive(Debug, Serialize, ToSchema)]
struct Level {
    present: usize,
    /// What comes on top is turned away.
    limit: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct RateLimits {
    /// `shared` by all gateways or `local` to each.
    kept: &'static str,
}

/// `GET /v1/status`
#[utoipa::path(
    get, path = "/v1/status", operation_id = "condition", tag = "about",
    summary = "How the gateway stands",
    responses((status = 200, description = "What waits, what is under way, and which circuits are open.", body = Condition)),
    security(("credential" = []))
)]
pub(crate) async fn condition(State(gateway): State<Arc<Gateway>>) -> Json<Condition> {
    let admission = &gateway.admission;
    let mut circuits = gateway.idempotency.circuits();
    for (name, circuit) in [
        ("answers-postgres", gateway.answers.circuit()),
        ("read-models-postgres", gateway.read_models.circuit()),
        ("cache-redis", gateway.cache.circuit()),
    ] {
        circuits.insert(name, circuit.state().as_str());
    }
    let issuers = gateway.identity.issuers_circuit();
    circuits.insert("identity-issuers", issuers.as_str());
    let shared = gateway.rate_limits.circuit();
    if let Some(circuit) = shared {
        circuits.insert("rate-limits-redis", circuit.state().as_str());
    }
    Json(Condition {
        version: env!("CARGO_PKG_VERSION"),
        queue: Level {
            present: gateway.appender.queued(),
            limit: admission.max_queued(),
        },
        requests: Level {
            present: admission.active(),
            limit: admission.max_active(),
        },
        circuits,
        rate_limits: RateLimits {
            kept: if shared.is_some() { "shared" } else { "local" },
        },
    })
}
