use domain_kernel::{ContextId, EventId, Json, NotificationId, Space};
use serde::{Deserialize, Serialize};

/// The events of `mesh.contexts`; the stream is the context id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ContextEvent {
    Shared(ContextShared),
    Merged(ContextMerged),
}

/// A new context: nothing like it was known in its space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextShared {
    pub context_id: ContextId,
    pub space: Space,
    /// What kind of context, such as `support.ticket.created`.
    pub kind: String,
    /// Whom or what it is about: history is kept by subject.
    pub subject: String,
    /// The delivery it came from.
    pub delivery: EventId,
    pub source_id: String,
    /// What agents are shown.
    pub content: Json,
    /// Lowercase hexadecimal SHA-256 of the canonical content.
    pub content_sha256: String,
    /// The text that was embedded.
    pub text: String,
    /// Digest of the embedding model and its parameters.
    pub model_digest: String,
    /// The nearest context that was considered and why it was not merged into.
    pub neighbour: Option<Neighbour>,
    /// Who is told, by subscription id.
    pub subscribers: Vec<String>,
}

/// A delivery that says what a context already says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextMerged {
    /// The context it was merged into.
    pub context_id: ContextId,
    pub space: Space,
    pub kind: String,
    pub subject: String,
    pub delivery: EventId,
    pub source_id: String,
    pub content: Json,
    pub content_sha256: String,
    pub model_digest: String,
    /// How near it was; 1.0 for the same digest.
    pub cosine: f64,
    /// Whether the digest was the same, so that no vector was looked at.
    pub exact: bool,
}

/// A context near enough to be considered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    pub context_id: ContextId,
    /// Cosine of the angle between the embeddings, from -1.0 to 1.0.
    pub cosine: f64,
    /// Why it was not merged into: `below-threshold`, `numbers-differ`,
    /// `identifiers-differ`, `negation-differs`, `kind-differs`, `subject-differs`.
    pub kept_apart: String,
}

/// The events of `mesh.notifications`; the stream is the notification id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NotificationEvent {
    Notified(SubscriberNotified),
}

/// A subscriber is told of a context. Carries the content, so that reacting to
/// it needs no look-up, and is keyed by correlation id, so that whoever reacts
/// reads it beside the answers to what it asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriberNotified {
    pub notification_id: NotificationId,
    /// Subscription id.
    pub subscriber: String,
    pub context_id: ContextId,
    pub space: Space,
    pub kind: String,
    pub subject: String,
    pub content: Json,
}
