use domain_kernel::{ContextId, EventId, Json, Space};

use crate::Neighbour;

/// A delivery, read as its source prescribes, and what the index said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextCommand {
    pub received: Received,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The stream the command is for.
    pub context_id: ContextId,
    pub delivery: EventId,
    pub source_id: String,
    pub space: Space,
    pub kind: String,
    /// Whom or what it is about; empty when it is about nobody in particular.
    pub subject: String,
    pub content: Json,
    pub content_sha256: String,
    /// The text that was, or would be, embedded.
    pub text: String,
    pub model_digest: String,
}

/// Where a delivery belongs, as far as could be seen from outside the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing says the same.
    New {
        /// The nearest that was considered, and why it is another.
        neighbour: Option<Neighbour>,
        subscribers: Vec<String>,
    },
    /// The stream has held this very content.
    Same,
    /// The stream's context says the same in other words.
    Near { cosine: f64 },
}
