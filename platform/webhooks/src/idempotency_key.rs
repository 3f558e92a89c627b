//! `Idempotency-Key`, quoted as its draft wants it or bare as it is mostly sent.

use http::HeaderMap;

use crate::answer::{NotAuthentic, Presented};

pub(crate) const HEADER: &str = "idempotency-key";
/// Bytes.
const MAX: usize = 255;

/// It is there and cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Idempotency-Key must be given once, as 1 to 255 printable ASCII characters, bare or in double quotes"
)]
pub struct MalformedKey;

/// The key a request carries, without quotes; none when it carries none.
///
/// # Errors
/// When the header is repeated, empty, too long or not printable ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, MalformedKey> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(MalformedKey);
    }
    let text = value.to_str().map_err(|_| MalformedKey)?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or(MalformedKey)?,
        None => text,
    };
    let plain = !key.is_empty()
        && key.len() <= MAX
        && key
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\');
    if plain {
        Ok(Some(key))
    } else {
        Err(MalformedKey)
    }
}

/// The id of a delivery that has none of its own: the key its sender gave it, or
/// else the digest of its body; and the header, when it was used.
pub(crate) fn delivery_id(
    presented: &Presented<'_>,
) -> Result<(String, Vec<(String, String)>), NotAuthentic> {
    match idempotency_key(presented.headers) {
        Ok(Some(key)) => Ok((key.to_owned(), vec![(HEADER.to_owned(), key.to_owned())])),
        Ok(None) => Ok((presented.body_sha256.to_owned(), Vec::new())),
        Err(MalformedKey) => Err(NotAuthentic::idempotency_key(
            "the Idempotency-Key is malformed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, MalformedKey> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        idempotency_key(&headers).map(|key| key.map(str::to_owned))
    }

    #[test]
    fn quoted_or_bare() {
        assert_eq!(key(&[]), Ok(None));
        for good in ["abc", "\"abc\"", " abc "] {
            assert_eq!(key(&[good]), Ok(Some("abc".to_owned())), "{good}");
        }
        let longest = "x".repeat(MAX);
        assert_eq!(key(&[&longest]), Ok(Some(longest.clone())));
        let long = "x".repeat(MAX + 1);
        for bad in [
            &[""][..],
            &["\"\""],
            &["\"abc"],
            &["a\"b"],
            &["a", "a"],
            &[&long],
        ] {
            assert_eq!(key(bad), Err(MalformedKey), "{bad:?}");
        }
    }
}
