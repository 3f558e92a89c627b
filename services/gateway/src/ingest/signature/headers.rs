use platform_http::axum::http::HeaderMap;

/// The only value of a header. A header given twice is ambiguous: a proxy in
/// front may have looked at the other one.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}
