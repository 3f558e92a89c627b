use domain_kernel::Timestamp;
use ring::{digest, hmac, signature};
use subtle::{Choice, ConstantTimeEq};

use crate::answer::{Certificate, Presented};

/// Ed25519 signatures looked at in one request. Checking one costs as much as
/// the MAC of some hundred kilobytes, so a stranger may not ask for many.
pub(crate) const MAX_ED25519: usize = 8;

/// A public key of nobody's (RFC 8032, test 1), checked against where a source
/// has none, so that having one or not takes the same time.
const NOBODY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// What a secret makes of bytes.
#[derive(Clone)]
pub(crate) enum Function {
    Hmac(hmac::Key),
    /// Plain SHA-256 over the secret and then the bytes.
    Prefixed(digest::Context),
    /// The public key.
    Ed25519([u8; 32]),
    /// SHA-256 of a token that is sent as it is.
    Token([u8; 32]),
    /// SHA-256 of a client certificate.
    Fingerprint([u8; 32]),
    /// The distinguished name of a client certificate.
    Subject(String),
}

/// What a secret stands for, prepared once.
#[derive(Clone)]
pub struct Key {
    /// Which of the source's secrets it is.
    pub id: String,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    pub(crate) function: Function,
}

/// The signatures a sender presented, any of which may be the right one.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Of MACs and digests.
    pub(crate) macs: Vec<Vec<u8>>,
    /// Of Ed25519.
    pub(crate) signatures: Vec<Vec<u8>>,
}

impl Candidates {
    pub(crate) fn mac(mac: impl Into<Vec<u8>>) -> Self {
        Self {
            macs: vec![mac.into()],
            signatures: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("valid_from", &self.valid_from)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// From its first moment on, and until just before its last.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= now)
            && self.valid_until.is_none_or(|until| now < until)
    }
}

impl Function {
    /// A MAC under key bytes; none for the empty key, which would be no secret.
    pub(crate) fn hmac(algorithm: hmac::Algorithm, key: &[u8]) -> Option<Self> {
        (!key.is_empty()).then(|| Self::Hmac(hmac::Key::new(algorithm, key)))
    }

    pub(crate) fn hmac_sha256(key: &[u8]) -> Option<Self> {
        Self::hmac(hmac::HMAC_SHA256, key)
    }

    /// A digest that begins with the secret; none for the empty secret.
    pub(crate) fn prefixed(secret: &[u8]) -> Option<Self> {
        (!secret.is_empty()).then(|| {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(secret);
            Self::Prefixed(context)
        })
    }

    /// None for bytes that are no public key.
    pub(crate) fn ed25519(public: &[u8]) -> Option<Self> {
        Some(Self::Ed25519(public.try_into().ok()?))
    }

    pub(crate) fn token(token: &str) -> Option<Self> {
        (!token.is_empty()).then(|| Self::Token(sha256(token.as_bytes())))
    }

    /// Whether one of the candidates is what this makes of the signed `parts`.
    /// Every candidate is compared, whichever matches.
    fn explains(&self, parts: &[&[u8]], candidates: &Candidates) -> bool {
        match self {
            Self::Hmac(key) => {
                let mut mac = hmac::Context::with_key(key);
                for part in parts {
                    mac.update(part);
                }
                any_equal(mac.sign().as_ref(), &candidates.macs)
            }
            Self::Prefixed(context) => {
                let mut context = context.clone();
                for part in parts {
                    context.update(part);
                }
                any_equal(context.finish().as_ref(), &candidates.macs)
            }
            Self::Ed25519(public) => verifies(public, parts, &candidates.signatures),
            Self::Token(_) | Self::Fingerprint(_) | Self::Subject(_) => false,
        }
    }

    /// Whether the sent token is this one.
    fn is_token(&self, presented: &[u8; 32]) -> bool {
        match self {
            Self::Token(token) => bool::from(token.ct_eq(presented)),
            _ => false,
        }
    }

    fn is_certificate(&self, presented: &Certificate<'_>) -> bool {
        match self {
            Self::Fingerprint(sha256) => *sha256 == presented.sha256,
            Self::Subject(subject) => subject == presented.subject,
            _ => false,
        }
    }
}

fn any_equal(computed: &[u8], candidates: &[Vec<u8>]) -> bool {
    let mut matches = Choice::from(0);
    for candidate in candidates {
        matches |= candidate.as_slice().ct_eq(computed);
    }
    bool::from(matches)
}

fn verifies(public: &[u8; 32], parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
    if signatures.is_empty() {
        return false;
    }
    let message = parts.concat();
    let key = signature::UnparsedPublicKey::new(&signature::ED25519, public);
    let mut verified = false;
    for candidate in signatures {
        verified |= key.verify(&message, candidate).is_ok();
    }
    verified
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// The first valid key that explains one of the candidates over the signed
/// `parts`. Every valid key is tried, whichever matches.
pub(crate) fn matching_key<'k>(
    keys: &'k [Key],
    now: Timestamp,
    parts: &[&[u8]],
    candidates: &Candidates,
) -> Option<&'k Key> {
    let mut found = None;
    let mut asymmetric = false;
    for key in keys.iter().filter(|key| key.is_valid_at(now)) {
        asymmetric |= matches!(key.function, Function::Ed25519(_));
        if key.function.explains(parts, candidates) && found.is_none() {
            found = Some(key);
        }
    }
    if !asymmetric {
        verifies(&NOBODY, parts, &candidates.signatures);
    }
    found
}

pub(crate) fn key_of_token<'k>(keys: &'k [Key], now: Timestamp, token: &str) -> Option<&'k Key> {
    let presented = sha256(token.as_bytes());
    let mut found = None;
    for key in keys.iter().filter(|key| key.is_valid_at(now)) {
        if key.function.is_token(&presented) && found.is_none() {
            found = Some(key);
        }
    }
    found
}

pub(crate) fn key_of_certificate<'k>(
    keys: &'k [Key],
    presented: &Presented<'_>,
) -> Option<&'k Key> {
    let certificate = presented.certificate?;
    keys.iter()
        .filter(|key| key.is_valid_at(presented.now))
        .find(|key| key.function.is_certificate(&certificate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    fn key(id: &str, from: Option<i64>, until: Option<i64>) -> Key {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        Scheme::Github
            .key(id, "secret", from.map(at), until.map(at))
            .unwrap()
    }

    #[test]
    fn a_key_counts_from_its_first_moment_to_just_before_its_last() {
        let key = key("k", Some(10), Some(20));
        for (seconds, valid) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(
                key.is_valid_at(Timestamp::from_millis(seconds * 1_000)),
                valid,
                "at {seconds}"
            );
        }
    }

    #[test]
    fn the_first_of_two_valid_keys_is_named() {
        let keys = [key("old", None, None), key("new", None, None)];
        let computed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), b"body");
        let candidates = Candidates {
            macs: vec![vec![0; 32], computed.as_ref().to_vec()],
            signatures: Vec::new(),
        };
        let found = matching_key(
            &keys,
            Timestamp::from_millis(0),
            &[b"bo", b"dy"],
            &candidates,
        );
        assert_eq!(found.map(|key| key.id.as_str()), Some("old"));
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        for scheme in Scheme::ALL {
            assert!(scheme.key("k", "", None, None).is_none(), "{scheme:?}");
        }
        let prefix_alone = Scheme::StandardWebhooks.key("k", "whsec_", None, None);
        assert!(prefix_alone.is_none());
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert!(!format!("{:?}", key("k", None, None)).contains("secret"));
    }
}
