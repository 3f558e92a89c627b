use domain_kernel::Space;
use serde::{Deserialize, Serialize};

use crate::UnknownName;

/// The events of `mesh.deliveries`; the stream is the correlation id, and each
/// stream has exactly one event, at version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryEvent {
    Accepted(DeliveryAccepted),
    Refused(DeliveryRefused),
}

/// Something came in, was authenticated and allowed, and is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAccepted {
    pub source_id: String,
    /// The sender's id for it, or what the scheme prescribes in its place.
    pub delivery_id: String,
    pub space: Space,
    /// The signature scheme, as the source names it: `standard-webhooks`.
    pub scheme: String,
    pub auth: AuthMethod,
    /// Which of the source's secrets matched.
    pub key_id: Option<String>,
    pub content_type: String,
    /// The bytes the sender sent, unchanged, so that the signature can be checked again.
    pub body: Vec<u8>,
    /// Lowercase hexadecimal SHA-256 of `body`.
    pub body_sha256: String,
    /// The headers that took part in authentication: lowercase name, value.
    pub signed_headers: Vec<(String, String)>,
    /// What kind of thing happened, read from the body by the source's pointer.
    pub event_type: String,
    /// Whom or what it is about, read from the body by the source's pointer.
    pub subject: Option<String>,
}

/// Something came in and was turned away. Without the body: it is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRefused {
    pub source_id: String,
    pub space: Space,
    pub reason: RefusalReason,
    /// What was wrong, for the operator; never shown to the sender.
    pub detail: String,
    pub body_sha256: String,
    /// Bytes.
    pub body_size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AuthMethod {
    HmacSha256,
    /// Plain SHA-256 over a secret and the signed bytes, as HubSpot once did.
    Sha256,
    Ed25519,
    Bearer,
    Mtls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalReason {
    /// No signature, a malformed one, or one that no secret of the source explains.
    BadSignature,
    /// Signed, but outside the tolerance around now.
    StaleTimestamp,
    /// Authenticated, but policy said no.
    PolicyDenied,
}

impl AuthMethod {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Sha256 => "sha256",
            Self::Ed25519 => "ed25519",
            Self::Bearer => "bearer",
            Self::Mtls => "mtls",
        }
    }
}

impl std::str::FromStr for AuthMethod {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [
            Self::HmacSha256,
            Self::Sha256,
            Self::Ed25519,
            Self::Bearer,
            Self::Mtls,
        ]
        .into_iter()
        .find(|known| known.as_str() == name)
        .ok_or_else(|| UnknownName {
            what: "auth method",
            name: name.to_owned(),
        })
    }
}

impl RefusalReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadSignature => "bad-signature",
            Self::StaleTimestamp => "stale-timestamp",
            Self::PolicyDenied => "policy-denied",
        }
    }
}

impl std::str::FromStr for RefusalReason {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::BadSignature, Self::StaleTimestamp, Self::PolicyDenied]
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| UnknownName {
                what: "refusal reason",
                name: name.to_owned(),
            })
    }
}
