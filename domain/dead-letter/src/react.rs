use domain_kernel::Recorded;

use crate::DeadLetterEvent;

/// A redrive is itself what its consumer acts on; nothing else is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRequest {}

pub(crate) fn react(_event: &Recorded<DeadLetterEvent>) -> Vec<NoRequest> {
    Vec::new()
}
