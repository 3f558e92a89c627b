use domain_context::ContextEvent;
use domain_kernel::{ContextId, CorrelationId, EventId, Recorded, Space, TenantId, Timestamp};
use platform_log::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What one event puts into the cache.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Share {
        context: Box<CachedContext>,
        link: Link,
        /// The place in the subject's history: the offset on the log.
        order: i64,
    },
    Merge {
        correlation_id: CorrelationId,
        link: Link,
        at: Timestamp,
    },
}

/// A context as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachedContext {
    pub context_id: ContextId,
    pub tenant: TenantId,
    pub space: Space,
    pub kind: String,
    pub subject: String,
    pub source_id: String,
    pub delivery: EventId,
    /// Of the delivery that made it.
    pub correlation_id: CorrelationId,
    pub at: Timestamp,
    /// What agents are shown.
    pub content: Value,
    pub content_sha256: String,
}

/// Which context a delivery went into, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub context_id: ContextId,
    /// How near it was when it was merged; none when it made the context.
    pub cosine: Option<f64>,
    pub exact: bool,
}

/// What changes because of one event.
pub fn project(recorded: &Recorded<ContextEvent>, position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    vec![match &recorded.event {
        ContextEvent::Shared(shared) => Change::Share {
            context: Box::new(CachedContext {
                context_id: shared.context_id,
                tenant: meta.tenant.clone(),
                space: shared.space.clone(),
                kind: shared.kind.clone(),
                subject: shared.subject.clone(),
                source_id: shared.source_id.clone(),
                delivery: shared.delivery,
                correlation_id: meta.correlation,
                at: meta.at,
                // Whoever shared it had parsed it.
                content: serde_json::from_str(shared.content.as_str()).unwrap_or_default(),
                content_sha256: shared.content_sha256.clone(),
            }),
            link: Link {
                context_id: shared.context_id,
                cosine: None,
                exact: false,
            },
            order: position.offset,
        },
        ContextEvent::Merged(merged) => Change::Merge {
            correlation_id: meta.correlation,
            link: Link {
                context_id: merged.context_id,
                cosine: Some(merged.cosine),
                exact: merged.exact,
            },
            at: meta.at,
        },
    }]
}

pub(crate) fn context_key(context_id: ContextId) -> String {
    format!("context:{context_id}")
}

pub(crate) fn link_key(correlation_id: CorrelationId) -> String {
    format!("correlation:{correlation_id}")
}

/// Hashed with the length of each part, so that no choice of names reaches
/// another tenant's or subject's list.
pub(crate) fn history_key(tenant: &TenantId, space: &Space, subject: &str) -> String {
    let mut digest = Sha256::new();
    for part in [tenant.as_str(), space.as_str(), subject] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let hex: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("history:{hex}")
}

#[cfg(test)]
mod tests {
    use domain_context::{ContextMerged, ContextShared};
    use domain_kernel::{Json, Metadata};

    use super::*;

    fn recorded(event: ContextEvent) -> Recorded<ContextEvent> {
        Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "1"),
                causation: None,
                stream: "s".to_owned(),
                version: 1,
                at: Timestamp::from_millis(7),
                source: "/agentmesh/federation".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        }
    }

    fn position() -> Position {
        Position {
            topic: "mesh.contexts".to_owned(),
            partition: 0,
            offset: 12,
        }
    }

    #[test]
    fn a_shared_context_is_kept_linked_and_listed() {
        let shared = recorded(ContextEvent::Shared(ContextShared {
            context_id: ContextId::derive(&["c"]),
            space: Space::new("support"),
            kind: "ticket".to_owned(),
            subject: "ada".to_owned(),
            delivery: EventId::derive(&["d"]),
            source_id: "zapier".to_owned(),
            content: Json::from_text(r#"{"body":"hi"}"#),
            content_sha256: "00".to_owned(),
            text: "hi".to_owned(),
            model_digest: "m".to_owned(),
            neighbour: None,
            subscribers: Vec::new(),
        }));
        let changes = project(&shared, &position());
        let [
            Change::Share {
                context,
                link,
                order,
            },
        ] = changes.as_slice()
        else {
            panic!("{changes:?}");
        };
        assert_eq!(context.content["body"], "hi");
        assert_eq!(link.context_id, context.context_id);
        assert_eq!(*order, 12);
    }

    #[test]
    fn a_merged_delivery_is_linked_to_the_context_that_survives() {
        let merged = recorded(ContextEvent::Merged(ContextMerged {
            context_id: ContextId::derive(&["c"]),
            space: Space::new("support"),
            kind: "ticket".to_owned(),
            subject: "ada".to_owned(),
            delivery: EventId::derive(&["d2"]),
            source_id: "zapier".to_owned(),
            content: Json::from_text("{}"),
            content_sha256: "01".to_owned(),
            model_digest: "m".to_owned(),
            cosine: 0.97,
            exact: false,
        }));
        let changes = project(&merged, &position());
        let [Change::Merge { link, .. }] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!(link.context_id, ContextId::derive(&["c"]));
        assert_eq!(link.cosine, Some(0.97));
    }

    #[test]
    fn lists_of_different_tenants_never_share_a_key() {
        let key = |tenant: &str, space: &str, subject: &str| {
            history_key(&TenantId::new(tenant), &Space::new(space), subject)
        };
        assert_ne!(key("a/b", "c", "d"), key("a", "b/c", "d"));
        assert_ne!(key("a", "b", "c"), key("a", "bc", ""));
        assert_eq!(key("a", "b", "c"), key("a", "b", "c"));
    }
}
