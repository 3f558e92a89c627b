//! Whether a delivery is from whom it says. One file a scheme; each looks only
//! at the headers, the raw bytes and the keys it is given.
//!
//! Whatever is wrong, the same work is done where that is possible: the MAC of
//! the body is computed under every valid key, every candidate is compared in
//! constant time, and staleness is looked at last.

mod github;
mod headers;
mod hubspot;
mod slack;
mod standard_webhooks;

pub(crate) use slack::challenge;

use std::str::FromStr;

use domain_delivery::{AuthMethod, RefusalReason};
use domain_kernel::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use platform_http::axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Signatures looked at in one header. A sender that rotates sends two or three.
pub const MAX_SIGNATURES: usize = 64;

/// The signature schemes this version can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    StandardWebhooks,
    Github,
    Slack,
    HubspotV3,
    HubspotV2,
}

/// A scheme a source may name but this version cannot check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signature scheme {name} is not supported")]
pub struct UnsupportedScheme {
    pub name: String,
}

/// What a secret makes of bytes.
#[derive(Clone)]
enum Function {
    Hmac(Hmac<Sha256>),
    /// Plain SHA-256 over the secret and then the bytes.
    Prefixed(Sha256),
}

/// A key under which MACs are computed, prepared once.
#[derive(Clone)]
pub struct Key {
    /// Which of the source's secrets it is.
    pub id: String,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    function: Function,
}

/// What a sender presented.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub method: &'a str,
    /// The whole URI as the sender addressed it; only looked at by schemes that
    /// [sign it](Scheme::signs_uri).
    pub uri: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// Lowercase hexadecimal SHA-256 of the body.
    pub body_sha256: &'a str,
    pub now: Timestamp,
    /// How far a signed timestamp may be from now, either way.
    pub tolerance_seconds: u64,
}

/// A delivery whose sender is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic {
    pub auth: AuthMethod,
    pub key_id: String,
    /// The id under which a repeat is recognised.
    pub delivery_id: String,
    /// The headers that took part: lowercase name, value.
    pub headers: Vec<(String, String)>,
    /// What the scheme's own header says happened.
    pub event_type: Option<String>,
}

/// Why it is not believed. For the operator; the sender is told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAuthentic {
    pub reason: RefusalReason,
    pub detail: &'static str,
}

impl Presented<'_> {
    /// # Errors
    /// When what was signed at `millis` since 1970 is too old, or not yet born.
    fn fresh(&self, millis: i64) -> Result<(), NotAuthentic> {
        let now = self.now.as_millis().div_euclid(1_000);
        if now.abs_diff(millis.div_euclid(1_000)) > self.tolerance_seconds {
            return Err(NotAuthentic::stale("the timestamp is too far from now"));
        }
        Ok(())
    }
}

impl NotAuthentic {
    const fn bad(detail: &'static str) -> Self {
        Self {
            reason: RefusalReason::BadSignature,
            detail,
        }
    }

    const fn stale(detail: &'static str) -> Self {
        Self {
            reason: RefusalReason::StaleTimestamp,
            detail,
        }
    }
}

impl Scheme {
    pub const ALL: [Self; 5] = [
        Self::StandardWebhooks,
        Self::Github,
        Self::Slack,
        Self::HubspotV3,
        Self::HubspotV2,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::Github => "github",
            Self::Slack => "slack",
            Self::HubspotV3 => "hubspot-v3",
            Self::HubspotV2 => "hubspot-v2",
        }
    }

    /// Whether the URI is among what is signed.
    pub const fn signs_uri(self) -> bool {
        matches!(self, Self::HubspotV3 | Self::HubspotV2)
    }

    /// Which scheme a request looks like, so that a source nobody knows costs
    /// as much as one that exists.
    pub fn guess(headers: &HeaderMap) -> Self {
        if headers.contains_key(github::SIGNATURE) {
            Self::Github
        } else if headers.contains_key(slack::SIGNATURE) {
            Self::Slack
        } else if headers.contains_key(hubspot::SIGNATURE_V3) {
            Self::HubspotV3
        } else if headers.contains_key(hubspot::SIGNATURE_V2) {
            Self::HubspotV2
        } else {
            Self::StandardWebhooks
        }
    }

    /// The key a secret stands for under this scheme; none when the secret does
    /// not have the scheme's form.
    pub fn key(
        self,
        id: &str,
        secret: &str,
        valid_from: Option<Timestamp>,
        valid_until: Option<Timestamp>,
    ) -> Option<Key> {
        let function = match self {
            Self::StandardWebhooks => Function::Hmac(standard_webhooks::mac(secret)?),
            Self::Github | Self::Slack | Self::HubspotV3 => {
                Function::Hmac(mac_of(secret.as_bytes())?)
            }
            Self::HubspotV2 => Function::Prefixed(prefixed_by(secret.as_bytes())?),
        };
        Some(Key {
            id: id.to_owned(),
            valid_from,
            valid_until,
            function,
        })
    }

    /// Who sent it, by the keys that are valid now.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn authenticate(
        self,
        keys: &[Key],
        presented: &Presented<'_>,
    ) -> Result<Authentic, NotAuthentic> {
        match self {
            Self::StandardWebhooks => standard_webhooks::authenticate(keys, presented),
            Self::Github => github::authenticate(keys, presented),
            Self::Slack => slack::authenticate(keys, presented),
            Self::HubspotV3 => hubspot::authenticate_v3(keys, presented),
            Self::HubspotV2 => hubspot::authenticate_v2(keys, presented),
        }
    }
}

impl FromStr for Scheme {
    type Err = UnsupportedScheme;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
            .ok_or_else(|| UnsupportedScheme {
                name: name.to_owned(),
            })
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

/// A MAC under key bytes; none for the empty key, which would be no secret.
fn mac_of(key: &[u8]) -> Option<Hmac<Sha256>> {
    if key.is_empty() {
        return None;
    }
    Hmac::new_from_slice(key).ok()
}

/// A digest that begins with the secret; none for the empty secret.
fn prefixed_by(secret: &[u8]) -> Option<Sha256> {
    (!secret.is_empty()).then(|| Sha256::new_with_prefix(secret))
}

impl Function {
    fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        match self.clone() {
            Self::Hmac(mut mac) => {
                for part in parts {
                    mac.update(part);
                }
                mac.finalize().into_bytes().into()
            }
            Self::Prefixed(mut digest) => {
                for part in parts {
                    Digest::update(&mut digest, part);
                }
                digest.finalize().into()
            }
        }
    }
}

/// The first valid key under which the signed `parts` have one of the
/// `candidates` as their MAC. Every valid key is tried and every candidate
/// compared, whichever matches.
fn matching_key<'k>(
    keys: &'k [Key],
    now: Timestamp,
    parts: &[&[u8]],
    candidates: &[[u8; 32]],
) -> Option<&'k Key> {
    let mut found = None;
    for key in keys.iter().filter(|key| key.is_valid_at(now)) {
        let computed = key.function.of(parts);
        let mut matches = Choice::from(0);
        for candidate in candidates {
            matches |= candidate.as_slice().ct_eq(computed.as_slice());
        }
        if bool::from(matches) && found.is_none() {
            found = Some(key);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let computed = keys[0].function.of(&[b"body"]);
        let found = matching_key(
            &keys,
            Timestamp::from_millis(0),
            &[b"bo", b"dy"],
            &[[0; 32], computed],
        );
        assert_eq!(found.map(|key| key.id.as_str()), Some("old"));
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        assert!(Scheme::Github.key("k", "", None, None).is_none());
        assert!(
            Scheme::StandardWebhooks
                .key("k", "whsec_", None, None)
                .is_none()
        );
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert!(!format!("{:?}", key("k", None, None)).contains("secret"));
    }
}
