//! What ARCHITECTURE.md and STYLE.md say about the shape of this workspace, as
//! checks. Each rule is a pure function from a [`Workspace`], a small model of
//! manifests and files, to findings; its unit tests plant violations.

mod load;
mod model;
pub mod rules;

pub use load::load;
pub use model::{Dependency, Layer, Package, Workspace, WorkspaceFile};

/// One violation: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the workspace.
    pub place: String,
    pub problem: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}
