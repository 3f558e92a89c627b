//! How the gateway itself stands: what waits, what is under way, which circuits
//! are open. Numbers and versions only; whoever may reach the port may know them.

use std::collections::BTreeMap;
use std::sync::Arc;

use platform_http::axum::Json;
use platform_http::axum::extract::State;
use serde::Serialize;

use crate::gateway::Gateway;

#[derive(Debug, Serialize)]
pub(crate) struct Condition {
    version: &'static str,
    /// Records that wait for the log.
    queue: Level,
    /// Deliveries under way.
    requests: Level,
    /// By what lies behind each: `closed`, `open` or `half-open`.
    circuits: BTreeMap<&'static str, &'static str>,
    rate_limits: RateLimits,
}

#[derive(Debug, Serialize)]
struct Level {
    present: usize,
    /// What comes on top is turned away.
    limit: usize,
}

#[derive(Debug, Serialize)]
struct RateLimits {
    /// `shared` by all gateways or `local` to each.
    kept: &'static str,
}

/// `GET /v1/status`
pub(crate) async fn condition(State(gateway): State<Arc<Gateway>>) -> Json<Condition> {
    let admission = &gateway.admission;
    let mut circuits = gateway.idempotency.circuits();
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
