//! Who may call, for whoever has to find out who does.

use domain_registry::{Resource, ResourceKind};
use platform_identity::{Directory, KnownCertificate, KnownIssuer, KnownKey};

use crate::RegistryView;

impl Directory for RegistryView {
    fn is_complete(&self) -> bool {
        self.is_caught_up()
    }

    fn key(&self, id: &str) -> Option<KnownKey> {
        let snapshot = self.snapshot();
        let found = snapshot.key(id)?;
        Some(KnownKey {
            id: found.id.to_owned(),
            tenant: found.tenant.clone(),
            subject: found.resource.subject.clone(),
            scopes: found.resource.scopes.clone(),
            secret_sha256: found.resource.secret_sha256.clone(),
            expires_at: found.resource.expires_at,
        })
    }

    fn issuers(&self, url: &str) -> Vec<KnownIssuer> {
        let snapshot = self.snapshot();
        snapshot
            .of_kind(ResourceKind::Issuer)
            .filter_map(|entry| match &entry.resource {
                Some(Resource::Issuer(issuer)) if issuer.url == url => Some(KnownIssuer {
                    id: entry.id.clone(),
                    tenant: entry.tenant.clone(),
                    url: issuer.url.clone(),
                    audiences: issuer.audiences.clone(),
                    algorithms: issuer.algorithms.clone(),
                    scopes: issuer.scopes.clone(),
                }),
                _ => None,
            })
            .collect()
    }

    fn certificates(&self, name: &str) -> Vec<KnownCertificate> {
        let snapshot = self.snapshot();
        snapshot
            .of_kind(ResourceKind::Certificate)
            .filter_map(|entry| match &entry.resource {
                Some(Resource::Certificate(certificate)) if certificate.name == name => {
                    Some(KnownCertificate {
                        id: entry.id.clone(),
                        tenant: entry.tenant.clone(),
                        name: certificate.name.clone(),
                        subject: certificate.subject.clone(),
                        scopes: certificate.scopes.clone(),
                    })
                }
                _ => None,
            })
            .collect()
    }
}
