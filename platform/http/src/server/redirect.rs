use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Problem;

/// Answers every request with the same path under `base`, which is `https://…`.
/// The method and the body have to be sent again (308), and signed bytes stay
/// as they were.
pub fn redirect_to(base: &str) -> Router {
    let base = base.trim_end_matches('/').to_owned();
    Router::new().fallback(move |request: Request| {
        let base = base.clone();
        async move { redirect(&base, &request) }
    })
}

fn redirect(base: &str, request: &Request) -> Response {
    // The host that was asked for plays no part: it is the client's to choose.
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    if !path.starts_with('/') {
        return Problem::bad_request("ask for a path").into_response();
    }
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, format!("{base}{path}"))],
    )
        .into_response()
}
