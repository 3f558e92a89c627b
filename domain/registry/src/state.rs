use domain_kernel::TenantId;
use serde::{Deserialize, Serialize};

use crate::Resource;

/// One resource as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryState {
    /// How many events the stream has.
    pub version: u64,
    /// Who registered it first. An id stays with its tenant, also once retired.
    pub tenant: Option<TenantId>,
    /// None before it is defined and after it is retired.
    pub resource: Option<Resource>,
}

impl RegistryState {
    pub const fn is_retired(&self) -> bool {
        self.version > 0 && self.resource.is_none()
    }
}
