//! What is looked at before a byte of the body is believed: its size, its type
//! and its encoding.

use platform_http::Problem;
use platform_http::axum::http::{HeaderMap, header};
use platform_webhooks::{is_form, is_json};

/// The length the sender declares; none when the body is chunked.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The content type, when it is one we read.
///
/// # Errors
/// 415 for a missing or repeated type, one that is neither JSON in UTF-8 nor a
/// form, and any content encoding: what was signed are the bytes as they came,
/// and unpacking them for a stranger is how small bodies become large ones.
/// Whether the source sends forms is asked later, once it is known to be its
/// sender: the answer would tell a stranger what kind of source it is.
pub fn content_type(headers: &HeaderMap) -> Result<&str, Problem> {
    let encoded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(Problem::unsupported_media_type(
            "send the body without Content-Encoding",
        ));
    }
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    value
        .filter(|value| is_json(value) || is_form(value))
        .ok_or_else(not_read)
}

/// 415, for whoever sends what the source does not.
pub(crate) fn not_read() -> Problem {
    Problem::unsupported_media_type("send application/json in UTF-8")
}

#[cfg(test)]
mod tests {
    use platform_http::axum::http::HeaderValue;

    use super::*;

    fn headers(entries: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn json_in_utf_8_and_forms_are_read() {
        for value in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/cloudevents+json",
            "application/json; profile=x",
            "application/x-www-form-urlencoded",
        ] {
            let headers = headers(&[(header::CONTENT_TYPE, value)]);
            assert_eq!(content_type(&headers).ok(), Some(value));
        }
    }

    #[test]
    fn anything_else_is_not() {
        for value in [
            "",
            "text/plain",
            "multipart/form-data",
            "application/jsonp",
            "application/json; charset=utf-16",
            "text/json",
        ] {
            let headers = headers(&[(header::CONTENT_TYPE, value)]);
            assert!(content_type(&headers).is_err(), "{value}");
        }
        assert!(content_type(&HeaderMap::new()).is_err());
        let twice = headers(&[
            (header::CONTENT_TYPE, "application/json"),
            (header::CONTENT_TYPE, "application/json"),
        ]);
        assert!(content_type(&twice).is_err());
    }

    #[test]
    fn nothing_is_unpacked() {
        for (encoding, read) in [
            ("identity", true),
            ("gzip", false),
            ("gzip, br", false),
            ("", false),
        ] {
            let headers = headers(&[
                (header::CONTENT_TYPE, "application/json"),
                (header::CONTENT_ENCODING, encoding),
            ]);
            assert_eq!(content_type(&headers).is_ok(), read, "{encoding:?}");
        }
    }
}
