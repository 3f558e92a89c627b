use domain_kernel::Timestamp;
use http::HeaderMap;

/// What a sender presented.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub method: &'a str,
    /// The whole URI as the sender addressed it; only looked at by what
    /// [signs it](crate::Verifier::signs_uri).
    pub uri: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// Lowercase hexadecimal SHA-256 of the body.
    pub body_sha256: &'a str,
    pub now: Timestamp,
    /// How far a signed timestamp may be from now, either way, in seconds. None
    /// when time is not to be looked at: whoever verifies a delivery again, long
    /// after it came in, asks only whether it was signed.
    pub tolerance_seconds: Option<u64>,
    /// The certificate the connection was made with, if any.
    pub certificate: Option<Certificate<'a>>,
}

/// What is known of a client certificate that the TLS layer has accepted.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// The distinguished name, as RFC 4514 writes it.
    pub subject: &'a str,
    /// Of the whole certificate in DER.
    pub sha256: [u8; 32],
}

/// How a sender was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Auth {
    HmacSha256,
    HmacSha1,
    HmacSha512,
    /// Plain SHA-256 over a secret and the signed bytes, as HubSpot once did.
    Sha256,
    Ed25519,
    Bearer,
    Mtls,
}

/// A delivery whose sender is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic {
    pub auth: Auth,
    pub key_id: String,
    /// The id under which a repeat is recognised.
    pub delivery_id: String,
    /// The headers that took part: lowercase name, value. Never a token.
    pub headers: Vec<(String, String)>,
    /// What the scheme's own header says happened.
    pub event_type: Option<String>,
}

/// Why it is not believed. For the operator; the sender is told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAuthentic {
    pub reason: Reason,
    pub detail: &'static str,
    /// Whether the body went through a key before this was known.
    pub(crate) computed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No signature, a malformed one, or one that no secret explains.
    BadSignature,
    /// Signed, but outside the tolerance around now.
    StaleTimestamp,
    /// The sender is known; its `Idempotency-Key` is none.
    MalformedIdempotencyKey,
}

impl Auth {
    pub const ALL: [Self; 7] = [
        Self::HmacSha256,
        Self::HmacSha1,
        Self::HmacSha512,
        Self::Sha256,
        Self::Ed25519,
        Self::Bearer,
        Self::Mtls,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha512 => "hmac-sha512",
            Self::Sha256 => "sha256",
            Self::Ed25519 => "ed25519",
            Self::Bearer => "bearer",
            Self::Mtls => "mtls",
        }
    }

    /// Whether the body itself is vouched for, so that anyone with the key can
    /// prove it later. A token and a certificate vouch for a connection only.
    pub const fn is_signature(self) -> bool {
        !matches!(self, Self::Bearer | Self::Mtls)
    }
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadSignature => "bad-signature",
            Self::StaleTimestamp => "stale-timestamp",
            Self::MalformedIdempotencyKey => "malformed-idempotency-key",
        }
    }
}

impl Presented<'_> {
    /// # Errors
    /// When what was signed at `millis` since 1970 is too old, or not yet born.
    pub(crate) fn fresh(&self, millis: i64) -> Result<(), NotAuthentic> {
        let Some(tolerance) = self.tolerance_seconds else {
            return Ok(());
        };
        let now = self.now.as_millis().div_euclid(1_000);
        if now.abs_diff(millis.div_euclid(1_000)) > tolerance {
            return Err(NotAuthentic::stale("the timestamp is too far from now"));
        }
        Ok(())
    }
}

impl NotAuthentic {
    pub(crate) const fn bad(detail: &'static str) -> Self {
        Self {
            reason: Reason::BadSignature,
            detail,
            computed: false,
        }
    }

    /// After every key was tried.
    pub(crate) const fn unexplained() -> Self {
        Self {
            reason: Reason::BadSignature,
            detail: "no valid secret explains the signature",
            computed: true,
        }
    }

    const fn stale(detail: &'static str) -> Self {
        Self {
            reason: Reason::StaleTimestamp,
            detail,
            computed: true,
        }
    }

    pub(crate) const fn idempotency_key(detail: &'static str) -> Self {
        Self {
            reason: Reason::MalformedIdempotencyKey,
            detail,
            computed: true,
        }
    }
}
