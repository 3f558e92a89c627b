//! Who may send, with their secrets opened. The registry view holds secrets
//! sealed; opening one costs a decryption, so it is done once a version.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_kernel::{Space, TenantId};
use domain_registry::{ResourceKind, Source};
use platform_vault::Vault;
use projections_registry_view::{Registered, RegistryView, secret_context};
use tracing::{error, info};

use crate::ingest::signature::{Key, Scheme};
use crate::metrics;

/// A source as one request needs it.
#[derive(Debug)]
pub(crate) struct KnownSource {
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) space: Space,
    /// None when the source names a scheme this version cannot check.
    pub(crate) scheme: Option<Scheme>,
    pub(crate) keys: Vec<Key>,
    /// Whether every secret could be opened and has the scheme's form. When not,
    /// a signature that no key explains may be our fault.
    pub(crate) complete: bool,
    pub(crate) source: Source,
    version: u64,
}

/// The sources of the registry view.
#[derive(Debug)]
pub(crate) struct Sources {
    view: RegistryView,
    vault: Vault,
    opened: RwLock<HashMap<String, Arc<KnownSource>>>,
    /// Keys of nobody, by scheme: what an unknown source is checked against.
    nobody: Vec<(Scheme, Key)>,
}

impl Sources {
    pub(crate) fn new(view: RegistryView, vault: Vault) -> Self {
        Self {
            view,
            vault,
            opened: RwLock::default(),
            nobody: Scheme::ALL
                .into_iter()
                .filter_map(|scheme| Some((scheme, nobody_s_key(scheme)?)))
                .collect(),
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

    /// A key that no sender has.
    pub(crate) fn nobody(&self, scheme: Scheme) -> &[Key] {
        self.nobody
            .iter()
            .find(|(of, _)| *of == scheme)
            .map_or(&[], |(_, key)| std::slice::from_ref(key))
    }

    fn open(&self, registered: &Registered<'_, Source>) -> KnownSource {
        let source = registered.resource;
        let scheme = source.scheme.parse::<Scheme>().ok();
        let mut keys = Vec::with_capacity(source.secrets.len());
        if let Some(scheme) = scheme {
            for secret in &source.secrets {
                let context = secret_context(ResourceKind::Source, registered.id, &secret.id);
                let key = match self.vault.open(&secret.sealed, &context) {
                    Ok(text) => {
                        scheme.key(&secret.id, &text, secret.valid_from, secret.valid_until)
                    }
                    Err(error) => {
                        error!(source.id = registered.id, secret.id = %secret.id, error = %error, "a secret cannot be opened");
                        None
                    }
                };
                match key {
                    Some(key) => keys.push(key),
                    None => {
                        metrics::unusable_secret();
                        error!(source.id = registered.id, secret.id = %secret.id, "a secret cannot be used");
                    }
                }
            }
        } else {
            error!(source.id = registered.id, source.scheme = %source.scheme, "the scheme of a source is not supported");
        }
        info!(
            source.id = registered.id,
            source.version = registered.version,
            source.keys = keys.len(),
            "source is known"
        );
        KnownSource {
            id: registered.id.to_owned(),
            tenant: registered.tenant.clone(),
            space: source.space.clone(),
            scheme,
            complete: scheme.is_some() && keys.len() == source.secrets.len(),
            keys,
            source: source.clone(),
            version: registered.version,
        }
    }
}

/// A random key: nobody signs with it, and what it would accept opens nothing,
/// since no source belongs to it.
fn nobody_s_key(scheme: Scheme) -> Option<Key> {
    let mut random = [0; 24];
    rand::fill(&mut random);
    scheme.key("nobody", &STANDARD.encode(random), None, None)
}
