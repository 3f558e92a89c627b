use std::sync::Arc;

use platform_http::axum::Router;
use platform_http::axum::routing::{get, post};

use crate::gateway::Gateway;
use crate::{ingest, openapi, status};

/// All that strangers can reach.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/hooks/{source_id}", post(ingest::ingest))
        .route("/v1/deliveries/{correlation_id}", get(status::status))
        .route("/openapi.json", get(openapi::document))
        .with_state(gateway)
}
