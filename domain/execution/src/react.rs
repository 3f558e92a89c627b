use domain_kernel::Recorded;

use crate::ExecutionEvent;

/// An answer asks nobody for anything: the workflow reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRequest {}

pub(crate) fn react(_event: &Recorded<ExecutionEvent>) -> Vec<NoRequest> {
    Vec::new()
}
