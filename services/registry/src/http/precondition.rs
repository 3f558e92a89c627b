use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use platform_http::Problem;

use crate::writer::Precondition;

/// The entity tag of a version.
pub(super) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Reads `If-Match` and `If-None-Match` of a request that changes something.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let if_match = text(headers, &IF_MATCH)?;
    let if_none_match = text(headers, &IF_NONE_MATCH)?;
    match (if_match.as_deref(), if_none_match.as_deref()) {
        (None, None) => Ok(Precondition::None),
        (Some("*"), None) => Ok(Precondition::Present),
        (Some(tags), None) => Ok(Precondition::OneOf(strong_versions(tags))),
        (None, Some("*")) => Ok(Precondition::Absent),
        (None, Some(_)) => Err(Problem::bad_request(
            "If-None-Match can only be * on a request that changes something",
        )),
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "If-Match and If-None-Match cannot both be given",
        )),
    }
}

/// Whether a reader has this version already.
pub(super) fn is_known(headers: &HeaderMap, version: u64) -> bool {
    let Ok(Some(tags)) = text(headers, &IF_NONE_MATCH) else {
        return false;
    };
    // Weak comparison, as RFC 9110 asks for here.
    tags == "*"
        || tags
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == etag(version))
}

fn text(headers: &HeaderMap, name: &axum::http::HeaderName) -> Result<Option<String>, Problem> {
    let values: Result<Vec<_>, _> = headers
        .get_all(name)
        .into_iter()
        .map(|value| value.to_str().map(str::trim))
        .collect();
    let values = values.map_err(|_| Problem::bad_request(format!("{name} is not readable")))?;
    Ok((!values.is_empty()).then(|| values.join(",")))
}

/// The versions of strong tags. A tag of another form matches nothing of ours.
fn strong_versions(tags: &str) -> Vec<u64> {
    tags.split(',')
        .filter_map(|tag| {
            tag.trim()
                .strip_prefix('"')?
                .strip_suffix('"')?
                .parse()
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, axum::http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn conditions_of_a_change() {
        assert_eq!(of_change(&headers(&[])), Ok(Precondition::None));
        assert_eq!(
            of_change(&headers(&[(IF_MATCH, "*")])),
            Ok(Precondition::Present)
        );
        assert_eq!(
            of_change(&headers(&[(IF_NONE_MATCH, "*")])),
            Ok(Precondition::Absent)
        );
        assert_eq!(
            of_change(&headers(&[
                (IF_MATCH, "\"3\", W/\"4\", \"x\""),
                (IF_MATCH, "\"5\"")
            ])),
            Ok(Precondition::OneOf(vec![3, 5]))
        );
        assert_eq!(
            of_change(&headers(&[(IF_MATCH, "3")])),
            Ok(Precondition::OneOf(vec![]))
        );
        assert!(of_change(&headers(&[(IF_NONE_MATCH, "\"3\"")])).is_err());
        assert!(of_change(&headers(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")])).is_err());
    }

    #[test]
    fn readers_say_what_they_know() {
        assert!(is_known(&headers(&[(IF_NONE_MATCH, "\"2\", W/\"3\"")]), 3));
        assert!(is_known(&headers(&[(IF_NONE_MATCH, "*")]), 3));
        assert!(!is_known(&headers(&[(IF_NONE_MATCH, "\"2\"")]), 3));
        assert!(!is_known(&headers(&[]), 3));
    }
}
