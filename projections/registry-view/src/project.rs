use domain_kernel::{EventId, Recorded, TenantId, Timestamp};
use domain_registry::{RegistryEvent, Resource, ResourceKind};

/// What one event means for the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ResourceKind,
    pub id: String,
    pub tenant: TenantId,
    pub version: u64,
    pub event_id: EventId,
    pub at: Timestamp,
    /// None when the resource was retired.
    pub resource: Option<Resource>,
}

/// The change that `recorded` stands for.
pub fn project(recorded: Recorded<RegistryEvent>) -> Change {
    let Recorded { meta, event } = recorded;
    let (kind, id, tenant, resource) = match event {
        RegistryEvent::Defined(defined) => (
            defined.resource.kind(),
            defined.id,
            defined.tenant,
            Some(defined.resource),
        ),
        RegistryEvent::Retired(retired) => (retired.kind, retired.id, retired.tenant, None),
    };
    Change {
        kind,
        id,
        tenant,
        version: meta.version,
        event_id: meta.id,
        at: meta.at,
        resource,
    }
}
