use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain_kernel::TenantId;
use domain_registry::ResourceKind;
use platform_http::Outbound;
use platform_vault::Vault;
use projections_registry_view::{RegistryView, secret_context};

use crate::Error;
use crate::connector::Connector;
use crate::connector::hubspot::HubSpot;

/// How long the view may take to catch up before a connector counts as unknown.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The registered connectors, opened on first use and again whenever the
/// registry holds a newer version.
pub(crate) struct Connectors {
    view: RegistryView,
    vault: Vault,
    outbound: Outbound,
    open: Mutex<HashMap<String, Opened>>,
}

#[derive(Clone)]
pub(crate) struct Opened {
    version: u64,
    pub(crate) connector: Arc<dyn Connector>,
    /// Calls for one effect before it counts as failed.
    pub(crate) max_attempts: u32,
}

impl Connectors {
    pub(crate) fn new(view: RegistryView, vault: Vault, outbound: Outbound) -> Self {
        Self {
            view,
            vault,
            outbound,
            open: Mutex::default(),
        }
    }

    /// The connector `id` of `tenant`; none when the tenant has no such connector.
    pub(crate) async fn get(&self, tenant: &TenantId, id: &str) -> Result<Option<Opened>, Error> {
        let snapshot = self.view.snapshot();
        if snapshot.entry(ResourceKind::Connector, id).is_none() {
            // Whoever asked for the effect may have seen more of the registry than this view.
            let caught_up = tokio::time::timeout(CATCH_UP, self.view.read_to_end()).await;
            if caught_up.is_err() {
                tracing::warn!("the registry view does not catch up");
            }
        }
        self.look_up(tenant, id)
    }

    fn look_up(&self, tenant: &TenantId, id: &str) -> Result<Option<Opened>, Error> {
        let snapshot = self.view.snapshot();
        let Some(registered) = snapshot
            .connector(id)
            .filter(|registered| registered.tenant == tenant)
        else {
            return Ok(None);
        };
        let mut open = self.lock();
        if let Some(opened) = open
            .get(id)
            .filter(|opened| opened.version == registered.version)
        {
            return Ok(Some(opened.clone()));
        }
        let resource = registered.resource;
        let credential = &resource.credential;
        let token = self.vault.open(
            &credential.sealed,
            &secret_context(ResourceKind::Connector, id, &credential.id),
        )?;
        let connector = match resource.system.as_str() {
            "hubspot" => HubSpot::new(
                id,
                &resource.base_url,
                token,
                Duration::from_millis(resource.timeout_ms),
                self.outbound.clone(),
            )?,
            other => {
                return Err(Error::UnknownSystem {
                    connector: id.to_owned(),
                    system: other.to_owned(),
                });
            }
        };
        let opened = Opened {
            version: registered.version,
            connector: Arc::new(connector),
            max_attempts: resource.max_attempts.max(1),
        };
        open.insert(id.to_owned(), opened.clone());
        Ok(Some(opened))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Opened>> {
        // A connector is inserted whole, so a poisoned lock still holds a good map.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
