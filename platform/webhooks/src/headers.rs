use http::HeaderMap;

/// The only value of a header. A header given twice is ambiguous: a proxy in
/// front may have looked at the other one.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Digits of a timestamp, in seconds or milliseconds: enough for 30,000 years.
const MAX_TIMESTAMP_DIGITS: usize = 15;

/// The number in a timestamp header: digits and nothing else.
pub(crate) fn number(timestamp: &str) -> Option<i64> {
    let plain = !timestamp.is_empty()
        && timestamp.len() <= MAX_TIMESTAMP_DIGITS
        && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    if plain { timestamp.parse().ok() } else { None }
}

/// Bytes of an id or a name that a sender chooses.
const MAX_TOKEN: usize = 128;

/// One word of printable ASCII, short enough to be a name.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An id that stands in a signed body, if it can be one.
pub(crate) fn own_id(id: String) -> Option<String> {
    (!id.is_empty() && id.len() <= MAX_TOKEN && !id.chars().any(char::is_control)).then_some(id)
}
