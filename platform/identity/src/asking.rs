use std::convert::Infallible;

use domain_kernel::{Actor, TenantId};
use platform_http::Problem;
use platform_http::axum::extract::FromRequestParts;
use platform_http::axum::http::request::Parts;

use crate::{Caller, insufficient_scope, not_authentic};

/// Who asks, for handlers behind [`protect`](crate::protect). Empty where
/// identity is not required and nobody showed a credential.
#[derive(Debug, Clone)]
pub struct Asking(pub Option<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Caller>().cloned()))
    }
}

impl Asking {
    /// # Errors
    /// 403 when the credential does not open `scope`.
    pub fn may(&self, scope: &'static str) -> Result<(), Problem> {
        match &self.0 {
            Some(caller) if !caller.may(scope) => Err(insufficient_scope(scope)),
            _ => Ok(()),
        }
    }

    /// Whose things are asked for: the credential's tenant, or else the one that
    /// was named; none when neither is there.
    ///
    /// # Errors
    /// 401, as for any wrong credential, when another tenant is named than the
    /// credential's own.
    pub fn tenant(&self, named: Option<TenantId>) -> Result<Option<TenantId>, Problem> {
        let own = self.0.as_ref().and_then(|caller| caller.tenant.as_ref());
        match (own, named) {
            (None, named) => Ok(named),
            (Some(own), None) => Ok(Some(own.clone())),
            (Some(own), Some(named)) if *own == named => Ok(Some(named)),
            (Some(_), Some(_)) => Err(not_authentic()),
        }
    }

    /// Whether what belongs to `tenant` may be shown.
    pub fn sees(&self, tenant: &TenantId) -> bool {
        match self.0.as_ref().and_then(|caller| caller.tenant.as_ref()) {
            Some(own) => own == tenant,
            None => true,
        }
    }

    pub fn actor(&self) -> Option<Actor> {
        self.0.as_ref().map(Caller::actor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    fn of(tenant: Option<&str>) -> Asking {
        Asking(Some(Caller {
            tenant: tenant.map(TenantId::new),
            subject: "ada".to_owned(),
            scopes: vec!["read".to_owned()],
            method: Method::Key,
            key_id: Some("k".to_owned()),
        }))
    }

    #[test]
    fn a_credential_speaks_for_its_own_tenant_only() {
        let acme = || Some(TenantId::new("acme"));
        assert_eq!(of(Some("acme")).tenant(None), Ok(acme()));
        assert_eq!(of(Some("acme")).tenant(acme()), Ok(acme()));
        assert_eq!(of(Some("other")).tenant(acme()), Err(not_authentic()));
        assert_eq!(of(None).tenant(acme()), Ok(acme()));
        assert_eq!(Asking(None).tenant(acme()), Ok(acme()));
        assert!(!of(Some("other")).sees(&TenantId::new("acme")));
    }

    #[test]
    fn scopes_are_held_to() {
        assert!(of(None).may("read").is_ok());
        assert_eq!(of(None).may("invoke"), Err(insufficient_scope("invoke")));
        assert_eq!(of(Some("acme")).actor(), Some(Actor::new("key:k/ada")));
    }
}
