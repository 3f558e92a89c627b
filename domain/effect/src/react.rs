use domain_kernel::Recorded;

use crate::EffectEvent;

/// An outcome asks nobody for anything: the workflow reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRequest {}

pub(crate) fn react(_event: &Recorded<EffectEvent>) -> Vec<NoRequest> {
    Vec::new()
}
