use domain_kernel::TenantId;

use crate::{Resource, ResourceKind};

/// What an operator wants of one resource, the one its stream is named after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCommand {
    pub id: String,
    pub tenant: TenantId,
    pub expected: Expected,
    pub action: Action,
}

/// Which version the operator last saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Any,
    /// There must be no such resource yet, or no longer.
    Absent,
    /// The resource must be there at this version.
    Version(u64),
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are the large one"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Register the resource, or replace it.
    Define(Resource),
    Retire(ResourceKind),
}
