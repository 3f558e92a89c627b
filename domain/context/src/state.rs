use std::collections::VecDeque;

use domain_kernel::{EventId, Space};
use serde::{Deserialize, Serialize};

/// Deliveries a context remembers as merged; older ones are forgotten, so that a
/// context that is reported a million times stays small. Repeats are recognised
/// before that by the index, which remembers far more.
pub const REMEMBERED_MERGES: usize = 256;

/// One context, once it has been shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextState {
    pub known: Option<Known>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub space: Space,
    pub kind: String,
    pub subject: String,
    pub content_sha256: String,
    pub text: String,
    /// The delivery that made it.
    pub delivery: EventId,
    /// The latest deliveries merged into it, oldest first.
    pub merged: VecDeque<EventId>,
    /// How many were merged in all.
    pub merges: u64,
}

impl Known {
    /// Whether the delivery is remembered as part of this context.
    pub fn holds(&self, delivery: EventId) -> bool {
        self.delivery == delivery || self.merged.contains(&delivery)
    }
}
