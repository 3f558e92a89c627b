use platform_http::axum::http::{HeaderValue, header};
use platform_http::axum::response::IntoResponse;

/// The description of the gateway's API, OpenAPI 3.1.
pub const DOCUMENT: &str = include_str!("../../../schemas/openapi/gateway.json");

/// `GET /openapi.json`
pub(crate) async fn document() -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        DOCUMENT,
    )
}
