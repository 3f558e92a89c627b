use std::collections::BTreeMap;
use std::sync::Arc;

use domain_registry::{Resource, ResourceKind};
use domain_workflow::Definition;
use tracing::warn;

use crate::project::Change;
use crate::query::Entry;

/// What is registered, as of one moment. Cloning copies no resource.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) entries: BTreeMap<ResourceKind, BTreeMap<String, Arc<Entry>>>,
    pub(crate) next_offset: i64,
}

impl Snapshot {
    /// Takes in `change`; false when it was dropped because its version was
    /// taken by an earlier event, or left a gap that no writer of ours leaves.
    pub fn apply(&mut self, change: Change) -> bool {
        let Change {
            kind,
            id,
            tenant,
            version,
            event_id,
            at,
            resource,
        } = change;
        let of_kind = self.entries.entry(kind).or_default();
        let known = of_kind.get(&id).map_or(0, |entry| entry.version);
        if version != known + 1 {
            // A second event at a version is how a writer that lost its
            // leadership shows; it is expected and harmless. A gap is not.
            if version > known + 1 {
                warn!(
                    registry.kind = kind.as_str(),
                    registry.id = %id,
                    registry.version = version,
                    registry.known_version = known,
                    "registry event dropped: versions are missing before it"
                );
            }
            return false;
        }
        let definition = resource
            .as_ref()
            .and_then(|resource| definition(&id, resource));
        let entry = Entry {
            kind,
            id: id.clone(),
            tenant,
            version,
            event_id,
            at,
            resource,
            definition,
        };
        of_kind.insert(id, Arc::new(entry));
        true
    }

    /// The offset after the last record taken in; 0 before the first.
    pub const fn next_offset(&self) -> i64 {
        self.next_offset
    }
}

fn definition(id: &str, resource: &Resource) -> Option<Arc<Definition>> {
    let Resource::Workflow(workflow) = resource else {
        return None;
    };
    match serde_json::from_str(workflow.definition.as_str()) {
        Ok(definition) => Some(Arc::new(definition)),
        Err(error) => {
            // The registry validates before it appends, so this is a version skew.
            warn!(registry.id = %id, error = %error, "workflow definition is not readable and never starts");
            None
        }
    }
}
