use std::sync::Arc;

use platform_http::axum::Router;
use platform_http::axum::middleware::from_fn_with_state;
use platform_http::axum::routing::{get, post};

use crate::gateway::Gateway;
use crate::{condition, ingest, invoke, limits, openapi, status};

/// All that strangers can reach. Senders are known by their signatures, users
/// by their credentials.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let users = Router::new()
        .route("/v1/deliveries/{correlation_id}", get(status::status))
        .route("/v1/status", get(condition::condition))
        .route("/v1/agents/{agent}/invoke", post(invoke::invoke))
        .route(
            "/v1/executions/{id}",
            get(invoke::lookup::execution).delete(invoke::lookup::cancel),
        )
        .with_state(gateway.clone());
    let senders = Router::new()
        .route("/hooks/{source_id}", post(ingest::ingest))
        .route("/hooks/{source_id}/batch", post(ingest::batch::batch))
        .with_state(gateway.clone());
    platform_identity::protect(users, &gateway.identity)
        .merge(senders)
        .route("/openapi.json", get(openapi::document))
        .layer(from_fn_with_state(gateway, limits::guard))
}
