use std::sync::Arc;

use metrics::counter;
use platform_config::Identity as Settings;
use platform_http::axum::http::{Extensions, HeaderValue};
use platform_http::{ClientIdentity, Problem};
use platform_resilience::CircuitState;
use tracing::debug;

use crate::jwks::Jwks;
use crate::token::Tokens;
use crate::{Caller, Directory, Method, Used, key, not_authentic};

/// Finds out who is calling. Cheap to clone; all clones share what is cached.
#[derive(Debug, Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: Arc<dyn Directory>,
    required: bool,
    /// Digest of the root key, where one is set.
    root: Option<String>,
    tokens: Tokens,
    used: Used,
}

/// Why somebody was not believed. Only for the metrics and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbelieved {
    Missing,
    Malformed,
    UnknownKey,
    WrongSecret,
    Expired,
    UnknownIssuer,
    NoKeyOfIssuer,
    BadToken,
    Ambiguous,
    UnknownCertificate,
}

impl Unbelieved {
    const fn is_of_ignorance(self) -> bool {
        matches!(
            self,
            Self::UnknownKey | Self::UnknownIssuer | Self::UnknownCertificate
        )
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown-key",
            Self::WrongSecret => "wrong-secret",
            Self::Expired => "expired",
            Self::UnknownIssuer => "unknown-issuer",
            Self::NoKeyOfIssuer => "no-key-of-issuer",
            Self::BadToken => "bad-token",
            Self::Ambiguous => "ambiguous",
            Self::UnknownCertificate => "unknown-certificate",
        }
    }
}

impl Identity {
    /// # Errors
    /// When the client that asks issuers for their keys cannot be made.
    pub fn new(
        settings: &Settings,
        directory: impl Directory,
    ) -> Result<Self, platform_http::Error> {
        Ok(Self {
            shared: Arc::new(Shared {
                directory: Arc::new(directory),
                required: settings.required,
                root: settings
                    .root_key
                    .as_ref()
                    .map(|root| key::digest(root.expose())),
                tokens: Tokens::new(settings, Jwks::new(settings)?),
                used: Used::default(),
            }),
        })
    }

    pub fn used(&self) -> Used {
        self.shared.used.clone()
    }

    /// How the circuits before the issuers of tokens stand: as the worst does.
    pub fn issuers_circuit(&self) -> CircuitState {
        self.shared.tokens.circuit()
    }

    /// What a client certificate may be registered as, where the connection had
    /// one: the name of its subject, or the digest of all of it.
    pub(crate) fn certificate_names(&self, extensions: &Extensions) -> Vec<String> {
        let Some(shown) = extensions.get::<ClientIdentity>() else {
            return Vec::new();
        };
        let digest = format!("sha256:{}", hex::encode(shown.sha256));
        vec![shown.subject.clone(), digest]
    }

    /// Who shows this. None when nothing is shown and nothing need be.
    pub(crate) async fn authenticate(
        &self,
        authorization: &[HeaderValue],
        certificate_names: &[String],
    ) -> Result<Option<Caller>, Problem> {
        let found = match authorization {
            [] if certificate_names.is_empty() => {
                if !self.shared.required {
                    return Ok(None);
                }
                Err(Unbelieved::Missing)
            }
            // Roles show one another certificates that are registered for nobody.
            // Where nothing need be shown, that opens what showing nothing does.
            [] => match self.certificate(certificate_names) {
                Err(Unbelieved::UnknownCertificate) if !self.shared.required => return Ok(None),
                found => found,
            },
            [value] => self.bearer(value).await,
            // Which one counts is a question nobody should have to answer.
            _ => Err(Unbelieved::Malformed),
        };
        match found {
            Ok(caller) => {
                counter!("agentmesh_identity_checks_total", "outcome" => caller.method.as_str())
                    .increment(1);
                Ok(Some(caller))
            }
            Err(reason) => {
                counter!("agentmesh_identity_checks_total", "outcome" => reason.as_str())
                    .increment(1);
                debug!(identity.reason = reason.as_str(), "caller not believed");
                if reason.is_of_ignorance() && !self.shared.directory.is_complete() {
                    return Err(Problem::unavailable("still reading who may call"));
                }
                Err(not_authentic())
            }
        }
    }

    async fn bearer(&self, value: &HeaderValue) -> Result<Caller, Unbelieved> {
        let text = value.to_str().map_err(|_| Unbelieved::Malformed)?;
        let (scheme, credential) = text.split_once(' ').ok_or(Unbelieved::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unbelieved::Malformed);
        }
        let credential = credential.trim();
        if let Some(root) = &self.shared.root
            && key::same(root, &key::digest(credential))
        {
            return Ok(Caller {
                tenant: None,
                subject: "root".to_owned(),
                scopes: vec!["*".to_owned()],
                method: Method::Root,
                key_id: None,
            });
        }
        match key::parse(credential) {
            Some((id, secret)) => self.key(id, secret),
            None => {
                let directory = self.shared.directory.as_ref();
                self.shared.tokens.check(credential, directory).await
            }
        }
    }

    fn key(&self, id: &str, secret: &str) -> Result<Caller, Unbelieved> {
        let presented = key::digest(secret);
        let Some(known) = self.shared.directory.key(id) else {
            // The same work as for one that is known.
            let _ = key::same(&presented, &key::digest(id));
            return Err(Unbelieved::UnknownKey);
        };
        if !key::same(&presented, &known.secret_sha256) {
            return Err(Unbelieved::WrongSecret);
        }
        let now = platform_telemetry::now();
        if known.expires_at.is_some_and(|end| end <= now) {
            return Err(Unbelieved::Expired);
        }
        self.shared.used.note(id, now);
        Ok(Caller {
            tenant: Some(known.tenant),
            subject: known.subject,
            scopes: known.scopes,
            method: Method::Key,
            key_id: Some(known.id),
        })
    }

    fn certificate(&self, names: &[String]) -> Result<Caller, Unbelieved> {
        let mut found = names
            .iter()
            .flat_map(|name| self.shared.directory.certificates(name));
        let known = found.next().ok_or(Unbelieved::UnknownCertificate)?;
        // One certificate must not be two callers.
        if found.any(|other| other.id != known.id) {
            return Err(Unbelieved::Ambiguous);
        }
        Ok(Caller {
            tenant: Some(known.tenant),
            subject: known.subject,
            scopes: known.scopes,
            method: Method::Certificate,
            key_id: Some(known.id),
        })
    }
}
