use domain_kernel::Space;
use serde::{Deserialize, Serialize};

use crate::UnknownName;

/// The events of `mesh.deliveries`; the stream is the correlation id, and each
/// stream has exactly one event, at version 1.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are the large one"
)]
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
    /// The method of the request and the URI as the sender addressed it, where
    /// the scheme signs them.
    pub request: Option<RequestLine>,
    /// Which version of the source said how it was to be checked; unknown of
    /// what was recorded before this was kept.
    pub source_version: Option<u64>,
    /// Why it is kept but handed to nobody. It is the sender's, so it is not
    /// turned away; and it is not what the source was registered for.
    pub quarantine: Option<Quarantine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLine {
    pub method: String,
    pub uri: String,
}

/// Why a delivery waits for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quarantine {
    /// The source lists the event types it sends, and this is none of them.
    UnknownEventType,
    /// The body lacks what the source says agents are shown of it.
    NoContent,
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
    /// For senders that sign with nothing newer.
    HmacSha1,
    HmacSha512,
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
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha512 => "hmac-sha512",
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
            Self::HmacSha1,
            Self::HmacSha512,
        ]
        .into_iter()
        .find(|known| known.as_str() == name)
        .ok_or_else(|| UnknownName {
            what: "auth method",
            name: name.to_owned(),
        })
    }
}

impl Quarantine {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEventType => "unknown-event-type",
            Self::NoContent => "no-content",
        }
    }
}

impl std::str::FromStr for Quarantine {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::UnknownEventType, Self::NoContent]
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| UnknownName {
                what: "reason of quarantine",
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
