use platform_http::Problem;
use platform_http::axum::http::HeaderMap;
use sha2::{Digest, Sha256};

const HEADER: &str = "idempotency-key";
const LONGEST: usize = 255;

/// What the caller put into `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request, if it has one: quoted as the draft standard has it,
    /// or bare as most clients send it.
    ///
    /// # Errors
    /// 400 when there are several, or one that is empty, too long, or holds
    /// anything but visible ASCII.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let malformed = || {
            Problem::bad_request(format!(
                "Idempotency-Key must be one value of 1 to {LONGEST} visible ASCII characters"
            ))
        };
        if values.next().is_some() {
            return Err(malformed());
        }
        let text = value.to_str().map_err(|_| malformed())?.trim();
        let inner = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or_else(malformed)?,
            None => text,
        };
        let readable = inner
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if inner.is_empty() || inner.len() > LONGEST || !readable {
            return Err(malformed());
        }
        Ok(Some(Self(inner.to_owned())))
    }

    /// Without the quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Under what the answer is kept: two callers, or two routes, never share one.
    pub(crate) fn scoped(&self, tenant: &str, caller: &str, route: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [tenant, caller, route, &self.0] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use platform_http::axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Result<Option<IdempotencyKey>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        IdempotencyKey::of(&headers)
    }

    #[test]
    fn quoted_and_bare_are_one_key() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"k-1"]), of(&[b"\"k-1\""]));
        assert_eq!(of(&[b" k-1 "]).unwrap().unwrap().0, "k-1");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = [b'k'; 256];
        for value in [
            &b""[..],
            b"\"\"",
            b"\"k",
            b"k\"",
            b"a b",
            b"k\xff",
            b"a\\b",
            &long,
        ] {
            assert!(of(&[value]).is_err(), "{value:?}");
        }
        assert!(of(&[b"a", b"a"]).is_err());
    }

    #[test]
    fn keys_of_others_are_other_keys() {
        let key = of(&[b"k"]).unwrap().unwrap();
        let mine = key.scoped("acme", "ada", "/v1/x");
        assert_eq!(mine, key.scoped("acme", "ada", "/v1/x"));
        for other in [
            key.scoped("other", "ada", "/v1/x"),
            key.scoped("acme", "eve", "/v1/x"),
            key.scoped("acme", "ada", "/v1/y"),
            key.scoped("acmea", "da", "/v1/x"),
        ] {
            assert_ne!(mine, other);
        }
    }
}
