use platform_http::Problem;
use platform_http::axum::http::{HeaderValue, StatusCode, header};

/// One and the same for every failure, so that a stranger learns neither which
/// keys and tenants there are nor what was wrong.
pub fn not_authentic() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "not-authentic",
        "The request could not be authenticated",
    )
    .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Who it is is known, and that they may not do this.
pub fn insufficient_scope(scope: &'static str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "insufficient-scope",
        "The credential does not allow this",
    )
    .with("scope", scope)
    .header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer error=\"insufficient_scope\""),
    )
}
