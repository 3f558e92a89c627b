use domain_kernel::{TenantId, Timestamp};

/// An API key as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    pub id: String,
    pub tenant: TenantId,
    pub subject: String,
    pub scopes: Vec<String>,
    /// Lowercase hexadecimal.
    pub secret_sha256: String,
    pub expires_at: Option<Timestamp>,
}

/// An issuer as a tenant registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIssuer {
    pub id: String,
    pub tenant: TenantId,
    pub url: String,
    pub audiences: Vec<String>,
    pub algorithms: Vec<String>,
    /// The most a token may do.
    pub scopes: Vec<String>,
}

/// A certificate as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCertificate {
    pub id: String,
    pub tenant: TenantId,
    pub name: String,
    pub subject: String,
    pub scopes: Vec<String>,
}

/// What is registered, as of now.
pub trait Directory: Send + Sync + std::fmt::Debug + 'static {
    /// Whether all that was registered has been read. Before that, whom nobody
    /// knows may be known in a moment.
    fn is_complete(&self) -> bool;

    fn key(&self, id: &str) -> Option<KnownKey>;

    /// All registrations of the issuer `url`: several tenants may accept one.
    fn issuers(&self, url: &str) -> Vec<KnownIssuer>;

    /// All registrations of a certificate's name.
    fn certificates(&self, name: &str) -> Vec<KnownCertificate>;
}
