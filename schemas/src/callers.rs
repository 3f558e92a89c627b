//! Who may call, as published on `mesh.registry`.

use domain_kernel::{TenantId, Timestamp};
use domain_registry::{self as domain, Resource, ResourceDefined};
use serde::{Deserialize, Serialize};

use crate::value::{Text, Unmappable, borrowed, owned};

#[derive(Serialize, Deserialize)]
pub(crate) struct KeyDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    subject: Text<'a>,
    scopes: Vec<Text<'a>>,
    secret_sha256: Text<'a>,
    expires_at: Option<i64>,
}

impl<'a> KeyDefined<'a> {
    pub(crate) fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Key) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            subject: (&resource.subject).into(),
            scopes: borrowed(&resource.scopes),
            secret_sha256: (&resource.secret_sha256).into(),
            expires_at: resource.expires_at.map(Timestamp::as_micros),
        }
    }
}

impl TryFrom<KeyDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: KeyDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Key(domain::Key {
                subject: published.subject.into_owned(),
                scopes: owned(published.scopes),
                secret_sha256: published.secret_sha256.into_owned(),
                expires_at: published.expires_at.map(Timestamp::from_micros),
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct IssuerDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    url: Text<'a>,
    audiences: Vec<Text<'a>>,
    algorithms: Vec<Text<'a>>,
    scopes: Vec<Text<'a>>,
}

impl<'a> IssuerDefined<'a> {
    pub(crate) fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Issuer) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            url: (&resource.url).into(),
            audiences: borrowed(&resource.audiences),
            algorithms: borrowed(&resource.algorithms),
            scopes: borrowed(&resource.scopes),
        }
    }
}

impl TryFrom<IssuerDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: IssuerDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Issuer(domain::Issuer {
                url: published.url.into_owned(),
                audiences: owned(published.audiences),
                algorithms: owned(published.algorithms),
                scopes: owned(published.scopes),
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CertificateDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    name: Text<'a>,
    subject: Text<'a>,
    scopes: Vec<Text<'a>>,
}

impl<'a> CertificateDefined<'a> {
    pub(crate) fn of(
        (id, tenant): (&'a str, &'a TenantId),
        resource: &'a domain::Certificate,
    ) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            name: (&resource.name).into(),
            subject: (&resource.subject).into(),
            scopes: borrowed(&resource.scopes),
        }
    }
}

impl TryFrom<CertificateDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: CertificateDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Certificate(domain::Certificate {
                name: published.name.into_owned(),
                subject: published.subject.into_owned(),
                scopes: owned(published.scopes),
            }),
        })
    }
}
