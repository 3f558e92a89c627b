use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use crate::Error;

/// A clock that is a little behind must not find a new certificate not yet valid.
const BACKDATED: Duration = Duration::from_secs(300);

/// The names of one role: `federation.mesh.internal` as a DNS name, which a
/// caller verifies, and `spiffe://mesh.internal/federation` as a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleNames {
    pub role: String,
    pub domain: String,
}

impl RoleNames {
    /// # Errors
    /// When `role` would not be one label of a DNS name.
    pub fn new(role: &str, domain: &str) -> Result<Self, Error> {
        let label = role
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if role.is_empty() || role.len() > 63 || role.starts_with('-') || !label {
            return Err(Error::BadRole(role.to_owned()));
        }
        Ok(Self {
            role: role.to_owned(),
            domain: domain.to_owned(),
        })
    }

    pub fn dns(&self) -> String {
        format!("{}.{}", self.role, self.domain)
    }

    pub fn uri(&self) -> String {
        format!("spiffe://{}/{}", self.domain, self.role)
    }
}

/// What is to be issued.
#[derive(Debug, Clone)]
pub struct Request {
    pub names: RoleNames,
    /// Further DNS names and addresses, such as `localhost`.
    pub also: Vec<String>,
    /// From when on it is valid, before now; tests make expired ones so.
    pub backdated: Duration,
    /// How long it is valid, counted from now. Zero: it has just expired.
    pub valid_for: Duration,
}

impl Request {
    pub fn new(names: RoleNames, valid_for: Duration) -> Self {
        Self {
            names,
            also: Vec::new(),
            backdated: BACKDATED,
            valid_for,
        }
    }

    /// Names under which a person reaches it on this machine.
    #[must_use]
    pub fn on_this_machine(mut self) -> Self {
        self.also = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        self
    }
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// Who signs.
pub struct Authority {
    certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority, with a key nobody has seen.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create(valid_for: Duration) -> Result<Self, Error> {
        let issue = |source| Error::Issue {
            name: "the authority".to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(issue)?;
        let now = OffsetDateTime::now_utc();
        let mut params = issuing(&key);
        params.not_before = now - BACKDATED;
        params.not_after = now + valid_for;
        let certificate = params.self_signed(&key).map_err(issue)?.pem();
        let pem = key.serialize_pem();
        Ok(Self {
            certificate,
            key: pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority made by [`Authority::create`] whose certificate and key
    /// these are, both as PEM.
    ///
    /// # Errors
    /// When the key does not parse.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, rcgen::Error> {
        let pair = KeyPair::from_pem(key)?;
        let params = issuing(&pair);
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            issuer: Issuer::new(params, pair),
        })
    }

    /// The certificate, as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The key, as PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A certificate for a role, good for serving and for calling, with a new key.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue(&self, request: &Request) -> Result<Issued, Error> {
        let dns = request.names.dns();
        let issue = |source| Error::Issue {
            name: dns.clone(),
            source,
        };
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, dns.as_str());
        params
            .subject_alt_names
            .push(SanType::DnsName(dns.clone().try_into().map_err(issue)?));
        params
            .subject_alt_names
            .push(SanType::URI(request.names.uri().try_into().map_err(issue)?));
        for name in &request.also {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.clone().try_into().map_err(issue)?),
            });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - request.backdated;
        params.not_after = now + request.valid_for;
        let key = KeyPair::generate().map_err(issue)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// What an authority with this key is. Its name follows from the key: two
/// authorities in one bundle are told apart by it, and the certificate need not
/// be read to issue in its name.
fn issuing(key: &KeyPair) -> CertificateParams {
    let point = key.public_key_raw();
    let tail: String = point[point.len().saturating_sub(8)..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("agentmesh development authority {tail}"),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_one_label() {
        for bad in ["", "Gateway", "a.b", "-a", "a_b", &"a".repeat(64)] {
            assert!(RoleNames::new(bad, "mesh.internal").is_err(), "{bad}");
        }
        let names = RoleNames::new("agent-servers", "mesh.internal").unwrap();
        assert_eq!(names.dns(), "agent-servers.mesh.internal");
        assert_eq!(names.uri(), "spiffe://mesh.internal/agent-servers");
    }

    #[test]
    fn an_authority_that_was_kept_issues_as_before() {
        let hour = Duration::from_secs(3_600);
        let made = Authority::create(hour).unwrap();
        let kept = Authority::from_pem(made.certificate(), made.key()).unwrap();
        let names = RoleNames::new("policy", "mesh.internal").unwrap();
        let issued = kept
            .issue(&Request::new(names, hour).on_this_machine())
            .unwrap();
        assert!(
            issued
                .certificate
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
        assert!(issued.key.contains("PRIVATE KEY"));
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }
}
