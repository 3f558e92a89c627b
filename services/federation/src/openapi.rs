use platform_http::axum::http::{HeaderValue, header};
use platform_http::axum::response::IntoResponse;

/// The description of federation's API, OpenAPI 3.1.
pub const DOCUMENT: &str = include_str!("../../../schemas/openapi/federation.json");

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

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_json_and_describes_each_route() {
        let document: serde_json::Value =
            serde_json::from_str(super::DOCUMENT).expect("the document is JSON");
        assert_eq!(document["openapi"], "3.1.0");
        for path in ["/v1/contexts", "/v1/contexts/{id}"] {
            assert!(document["paths"][path]["get"].is_object(), "{path}");
        }
    }
}
