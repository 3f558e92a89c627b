//! API keys: `amk_<id>_<secret>`. The id is the registry's, so that a key that
//! leaked somewhere is found and revoked by what is visible of it.

use rand::Rng as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "amk_";
/// Bytes of chance in a secret.
const SECRET_BYTES: usize = 32;

/// A key that was just made. Only its holder ever has `text`.
#[derive(Clone)]
pub struct Minted {
    pub text: String,
    /// What the registry is told.
    pub secret_sha256: String,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("secret_sha256", &self.secret_sha256)
            .finish_non_exhaustive()
    }
}

/// Makes the secret of the key `id`.
pub fn mint(id: &str) -> Minted {
    let mut secret = [0_u8; SECRET_BYTES];
    rand::rng().fill_bytes(&mut secret);
    let secret = hex::encode(secret);
    Minted {
        secret_sha256: digest(&secret),
        text: format!("{PREFIX}{id}_{secret}"),
    }
}

/// Lowercase hexadecimal SHA-256.
pub(crate) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The id and the secret of what looks like a key.
pub(crate) fn parse(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    (!id.is_empty() && !secret.is_empty()).then_some((id, secret))
}

/// Compares in constant time; the lengths are no secret.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_minted_is_recognised_and_never_shown() {
        let minted = mint("ops-1");
        let (id, secret) = parse(&minted.text).unwrap();
        assert_eq!(id, "ops-1");
        assert_eq!(secret.len(), 64);
        assert_eq!(digest(secret), minted.secret_sha256);
        assert!(!format!("{minted:?}").contains(secret));
        assert_ne!(mint("ops-1").text, minted.text);
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "amk_", "amk_a", "amk__x", "amk_a_", "xyz_a_b", "a.b.c"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
