use domain_kernel::Recorded;

use crate::RegistryEvent;

/// A registered resource asks nobody for anything: who needs it follows the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRequest {}

pub(crate) fn react(_event: &Recorded<RegistryEvent>) -> Vec<NoRequest> {
    Vec::new()
}
