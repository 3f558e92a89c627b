//! The HTTP surface, path by path as HubSpot has it.

mod answer;
mod batch;
mod object;
mod property;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::Store;
use answer::Failure;

/// The API over `store`, for bearers of `access_token`.
pub(crate) fn router(store: Store, access_token: &str) -> Router {
    let token: Arc<str> = Arc::from(access_token);
    Router::new()
        .route(
            "/crm/v3/objects/{object}",
            get(object::list).post(object::create),
        )
        .route("/crm/v3/objects/{object}/search", post(search::search))
        .route(
            "/crm/v3/objects/{object}/batch/{operation}",
            post(batch::batch),
        )
        .route(
            "/crm/v3/objects/{object}/{id}",
            get(object::read)
                .patch(object::update)
                .delete(object::archive),
        )
        .route(
            "/crm/v3/properties/{object}",
            get(property::list).post(property::create),
        )
        .route("/crm/v3/properties/{object}/{name}", get(property::read))
        .with_state(store)
        .layer(from_fn_with_state(token, authenticate))
}

async fn authenticate(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if presented == Some(&*token) {
        next.run(request).await
    } else {
        Failure::Unauthenticated.into_response()
    }
}
