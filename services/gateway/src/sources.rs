//! Who may send, with their secrets opened. The registry view holds secrets
//! sealed; opening one costs a decryption, so it is done once a version.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain_kernel::{CorrelationId, Space, TenantId};
use domain_registry::{ResourceKind, Source};
use platform_vault::Vault;
use platform_webhooks::{Scheme, Verifier};
use projections_registry_view::{Registered, RegistryView, secret_context};
use tracing::{error, info};

use crate::metrics;

/// A source as one request needs it.
#[derive(Debug)]
pub(crate) struct KnownSource {
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) space: Space,
    /// None when the source has a scheme this version cannot check.
    pub(crate) verifier: Option<Verifier>,
    /// Whether every secret could be opened and has the scheme's form. When not,
    /// a signature that no key explains may be our fault.
    pub(crate) complete: bool,
    pub(crate) source: Source,
    pub(crate) version: u64,
}

/// The sources of the registry view.
#[derive(Debug)]
pub(crate) struct Sources {
    view: RegistryView,
    vault: Vault,
    opened: RwLock<HashMap<String, Arc<KnownSource>>>,
    /// With keys of nobody: what an unknown source is checked against.
    nobody: Vec<Verifier>,
}

impl Sources {
    pub(crate) fn new(view: RegistryView, vault: Vault) -> Self {
        Self {
            view,
            vault,
            opened: RwLock::default(),
            nobody: Scheme::ALL.into_iter().map(nobody).collect(),
        }
    }

    /// The source registered under `id`, if any.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<KnownSource>> {
        let snapshot = self.view.snapshot();
        let registered = snapshot.source(id)?;
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(id)
            && known.version == registered.version
        {
            return Some(known.clone());
        }
        drop(opened);
        let known = Arc::new(self.open(&registered));
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|id, _| snapshot.source(id).is_some());
        opened.insert(id.to_owned(), known.clone());
        Some(known)
    }

    /// Whether a source of `tenant` sent the delivery: its id follows from both.
    pub(crate) fn sent(
        &self,
        tenant: &TenantId,
        correlation: CorrelationId,
        delivery_id: Option<&str>,
    ) -> bool {
        let snapshot = self.view.snapshot();
        delivery_id.is_some_and(|delivery_id| {
            snapshot
                .of_tenant(ResourceKind::Source, tenant)
                .any(|source| CorrelationId::of_delivery(&source.id, delivery_id) == correlation)
        })
    }

    /// What refuses everything of a scheme, at the cost at which a source would.
    pub(crate) fn nobody(&self, scheme: Scheme) -> Option<&Verifier> {
        self.nobody
            .iter()
            .find(|verifier| verifier.scheme() == Some(scheme))
    }

    fn open(&self, registered: &Registered<'_, Source>) -> KnownSource {
        let source = registered.resource;
        let signing = source.signing.as_ref().map(|json| json.as_str());
        let mut verifier = match Verifier::of(&source.scheme, signing) {
            Ok(verifier) => Some(verifier),
            Err(why) => {
                error!(source.id = registered.id, source.scheme = %source.scheme, error = %why, "a source cannot be checked");
                None
            }
        };
        if let Some(verifier) = &mut verifier {
            for secret in &source.secrets {
                let context = secret_context(ResourceKind::Source, registered.id, &secret.id);
                let usable = match self.vault.open(&secret.sealed, &context) {
                    Ok(text) => {
                        verifier.add(&secret.id, &text, secret.valid_from, secret.valid_until)
                    }
                    Err(error) => {
                        error!(source.id = registered.id, secret.id = %secret.id, error = %error, "a secret cannot be opened");
                        false
                    }
                };
                if !usable {
                    metrics::unusable_secret();
                    error!(source.id = registered.id, secret.id = %secret.id, "a secret cannot be used");
                }
            }
        }
        let keys = verifier.as_ref().map_or(0, Verifier::keys);
        info!(
            source.id = registered.id,
            source.version = registered.version,
            source.keys = keys,
            "source is known"
        );
        KnownSource {
            id: registered.id.to_owned(),
            tenant: registered.tenant.clone(),
            space: source.space.clone(),
            complete: verifier.is_some() && keys == source.secrets.len(),
            verifier,
            source: source.clone(),
            version: registered.version,
        }
    }
}

/// A random key: nobody signs with it, and what it would accept opens nothing,
/// since no source belongs to it.
fn nobody(scheme: Scheme) -> Verifier {
    let mut random = [0; 24];
    rand::fill(&mut random);
    Verifier::named(scheme).with_keys(scheme.nobody_s_key(&random))
}
