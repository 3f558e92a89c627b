use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

const BASE: &str = "https://agentmesh.cloud/problems/";

/// An error answer after RFC 9457. Its type URI is [`Problem::type_uri`]; the
/// slugs are listed in `docs/problems.md` and never change their meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Last segment of the type URI: lowercase words and dashes.
    pub slug: &'static str,
    /// A short summary that is the same for every occurrence.
    pub title: &'static str,
    pub status: StatusCode,
    /// What went wrong this time, in terms the caller can act on.
    pub detail: Option<String>,
    /// Further members of the problem object.
    pub extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        Self {
            slug,
            title,
            status,
            detail: None,
            extensions: Map::new(),
            headers: Vec::new(),
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request cannot be understood",
        )
        .detail(detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing").detail(detail)
    }

    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The method is not allowed here",
        )
    }

    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
        )
        .with("limit_bytes", limit_bytes)
    }

    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The media type is not supported",
        )
        .detail(detail)
    }

    pub fn headers_too_large() -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers-too-large",
            "The headers are too many or too large",
        )
    }

    pub fn request_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            "The request took too long",
        )
    }

    /// Something the service depends on is away; trying again later is right.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The service is not available now",
        )
        .detail(detail)
        .retry_after_seconds(1)
    }

    /// A failure of ours. The caller learns nothing but that; the log says more.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side",
        )
    }

    /// The plain problem for a status, where there is nothing more to say.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "not-found", "There is no such thing"),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "too-large", "The body is too large")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                status,
                "unsupported-media-type",
                "The media type is not supported",
            ),
            StatusCode::REQUEST_TIMEOUT => Self::request_timeout(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::headers_too_large(),
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(status, "unavailable", "The service is not available now")
            }
            status if status.is_client_error() => {
                Self::new(status, "bad-request", "The request cannot be understood")
            }
            status => Self {
                status,
                ..Self::internal()
            },
        }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member to the problem object.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(member.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub fn retry_after_seconds(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The stable URI of the problem type.
    pub fn type_uri(&self) -> String {
        format!("{BASE}{}", self.slug)
    }

    /// The problem object as it goes over the wire.
    pub fn to_json(&self) -> Value {
        let mut members = self.extensions.clone();
        members.insert("type".to_owned(), self.type_uri().into());
        members.insert("title".to_owned(), self.title.into());
        members.insert("status".to_owned(), self.status.as_u16().into());
        if let Some(detail) = &self.detail {
            members.insert("detail".to_owned(), detail.as_str().into());
        }
        Value::Object(members)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))],
            self.to_json().to_string(),
        )
            .into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_members_of_the_rfc_and_its_own() {
        let problem = Problem::too_large(10).detail("11 bytes");
        assert_eq!(
            problem.to_json(),
            serde_json::json!({
                "type": "https://agentmesh.cloud/problems/too-large",
                "title": "The body is too large",
                "status": 413,
                "detail": "11 bytes",
                "limit_bytes": 10,
            })
        );
    }

    #[test]
    fn extensions_never_replace_the_members_of_the_rfc() {
        let problem = Problem::internal().with("status", 200);
        assert_eq!(problem.to_json()["status"], 500);
    }

    #[test]
    fn it_says_when_to_come_back() {
        let response = Problem::unavailable("no broker").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    }
}
