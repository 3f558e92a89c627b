use std::ops::Deref;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::der::facts;

/// What a certificate says of its holder. Nothing here is verified by reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The distinguished name, as RFC 4514 writes it: `CN=gateway.mesh.internal`.
    pub subject: String,
    pub dns_names: Vec<String>,
    /// Such as `spiffe://mesh.internal/gateway`.
    pub uri_names: Vec<String>,
    /// SHA-256 of the whole certificate in DER.
    pub sha256: [u8; 32],
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl CertificateInfo {
    /// None when it is no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        let facts = facts(certificate)?;
        Some(Self {
            subject: facts.subject,
            dns_names: parsed.valid_dns_names().map(str::to_owned).collect(),
            uri_names: parsed.valid_uri_names().map(str::to_owned).collect(),
            sha256: Sha256::digest(certificate).into(),
            not_before: facts.not_before,
            not_after: facts.not_after,
        })
    }

    /// Reads the first certificate of a PEM text.
    pub fn of_pem(pem: &[u8]) -> Option<Self> {
        use rustls::pki_types::pem::PemObject as _;
        Self::of(&CertificateDer::from_pem_slice(pem).ok()?)
    }

    /// Whether one of the alternative names is `name`. Common names do not
    /// count: nobody has checked them for thirty years.
    pub fn is_named(&self, name: &str) -> bool {
        self.dns_names
            .iter()
            .any(|dns| dns.eq_ignore_ascii_case(name))
            || self.uri_names.iter().any(|uri| uri == name)
    }

    /// Seconds until it expires; negative afterwards.
    pub fn seconds_left(&self) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            });
        self.not_after - now
    }

    pub fn is_expired(&self) -> bool {
        self.seconds_left() < 0
    }
}

/// Who is at the other end of a connection, by a certificate that was verified:
/// it comes from an authority of the listener, it is valid, and its holder has
/// its key. In the extensions of every request of such a connection; where it
/// is missing, the client showed none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity(Arc<CertificateInfo>);

impl ClientIdentity {
    /// For whoever verified the certificate; and for tests.
    pub fn verified(info: CertificateInfo) -> Self {
        Self(Arc::new(info))
    }
}

impl Deref for ClientIdentity {
    type Target = CertificateInfo;

    fn deref(&self) -> &CertificateInfo {
        &self.0
    }
}
