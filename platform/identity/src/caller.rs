use domain_kernel::{Actor, TenantId};

/// How somebody showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Key,
    Token,
    Certificate,
    /// The root key of the settings: roles among themselves, and whoever makes
    /// the first key of a tenant.
    Root,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Root => "root",
        }
    }
}

/// Somebody who showed who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose they are; none for the root key, which may act for any tenant.
    pub tenant: Option<TenantId>,
    /// Who they are, as policy and the audit trail name them.
    pub subject: String,
    pub scopes: Vec<String>,
    pub method: Method,
    /// The registry id of the key, issuer or certificate.
    pub key_id: Option<String>,
}

impl Caller {
    /// Whether `scope` was granted.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes
            .iter()
            .any(|granted| granted == "*" || granted == scope)
    }

    /// As it stands on events: `key:<id>/<subject>`, `user:<issuer>/<subject>`,
    /// `certificate:<id>/<subject>` or `root`.
    pub fn actor(&self) -> Actor {
        let kind = match self.method {
            Method::Key => "key",
            Method::Token => "user",
            Method::Certificate => "certificate",
            Method::Root => return Actor::new("root"),
        };
        let id = self.key_id.as_deref().unwrap_or_default();
        Actor::new(format!("{kind}:{id}/{}", self.subject))
    }
}
