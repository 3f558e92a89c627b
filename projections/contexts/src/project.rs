use std::time::SystemTime;

use domain_context::ContextEvent;
use domain_kernel::{Recorded, Space};
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use uuid::Uuid;

/// What one event adds to the read model.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Shared(SharedRow),
    Merged(MergeRow),
}

#[derive(Debug, Clone, PartialEq)]
pub struct SharedRow {
    pub(crate) common: Common,
    pub(crate) text: String,
    pub(crate) neighbour: Option<Neighbour>,
    /// A JSON array of subscription ids.
    pub(crate) subscribers: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MergeRow {
    pub(crate) common: Common,
    pub(crate) version: i64,
    pub(crate) cosine: f64,
    pub(crate) exact: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) id: Uuid,
    pub(crate) cosine: f64,
    pub(crate) kept_apart: String,
}

/// What both kinds of row have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Common {
    pub(crate) context_id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    pub(crate) space: String,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) delivery: Uuid,
    pub(crate) source_id: String,
    pub(crate) content: String,
    pub(crate) content_sha256: String,
    pub(crate) model_digest: String,
    pub(crate) recorded_at: SystemTime,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// The row that follows from one event.
pub fn project(recorded: &Recorded<ContextEvent>, position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    let space = |space: &Space| storable(space.as_str());
    let change = match &recorded.event {
        ContextEvent::Shared(event) => Change::Shared(SharedRow {
            common: Common {
                context_id: event.context_id.as_uuid(),
                event_id: meta.id.as_uuid(),
                tenant: storable(meta.tenant.as_str()),
                correlation: meta.correlation.as_uuid(),
                space: space(&event.space),
                kind: storable(&event.kind),
                subject: storable(&event.subject),
                delivery: event.delivery.as_uuid(),
                source_id: storable(&event.source_id),
                content: event.content.as_str().to_owned(),
                content_sha256: storable(&event.content_sha256),
                model_digest: storable(&event.model_digest),
                recorded_at: timestamptz(meta.at.as_micros()),
                partition: position.partition,
                offset: position.offset,
            },
            text: storable(&event.text),
            neighbour: event.neighbour.as_ref().map(|neighbour| Neighbour {
                id: neighbour.context_id.as_uuid(),
                cosine: neighbour.cosine,
                kept_apart: storable(&neighbour.kept_apart),
            }),
            subscribers: serde_json::Value::from(event.subscribers.clone()).to_string(),
        }),
        ContextEvent::Merged(event) => Change::Merged(MergeRow {
            common: Common {
                context_id: event.context_id.as_uuid(),
                event_id: meta.id.as_uuid(),
                tenant: storable(meta.tenant.as_str()),
                correlation: meta.correlation.as_uuid(),
                space: space(&event.space),
                kind: storable(&event.kind),
                subject: storable(&event.subject),
                delivery: event.delivery.as_uuid(),
                source_id: storable(&event.source_id),
                content: event.content.as_str().to_owned(),
                content_sha256: storable(&event.content_sha256),
                model_digest: storable(&event.model_digest),
                recorded_at: timestamptz(meta.at.as_micros()),
                partition: position.partition,
                offset: position.offset,
            },
            version: i64::try_from(meta.version).unwrap_or(i64::MAX),
            cosine: event.cosine,
            exact: event.exact,
        }),
    };
    vec![change]
}

#[cfg(test)]
mod tests {
    use domain_context::{ContextMerged, ContextShared};
    use domain_kernel::{ContextId, CorrelationId, EventId, Json, Metadata, TenantId, Timestamp};

    use super::*;

    fn at(version: u64, event: ContextEvent) -> Vec<Change> {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: None,
                stream: "c".to_owned(),
                version,
                at: Timestamp::from_micros(1),
                source: "/agentmesh/federation".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        };
        let position = Position {
            topic: "mesh.contexts".to_owned(),
            partition: 1,
            offset: 9,
        };
        project(&recorded, &position)
    }

    #[test]
    fn a_shared_context_is_one_row() {
        let changes = at(
            1,
            ContextEvent::Shared(ContextShared {
                context_id: ContextId::derive(&["c"]),
                space: Space::new("support"),
                kind: "ticket".to_owned(),
                subject: "ada\0".to_owned(),
                delivery: EventId::derive(&["d"]),
                source_id: "zapier".to_owned(),
                content: Json::from_text("{}"),
                content_sha256: "00".to_owned(),
                text: "t".to_owned(),
                model_digest: "m".to_owned(),
                neighbour: None,
                subscribers: vec!["s".to_owned()],
            }),
        );
        let [Change::Shared(row)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!(row.common.subject, "ada\u{fffd}");
        assert_eq!(row.subscribers, r#"["s"]"#);
        assert_eq!(row.common.offset, 9);
    }

    #[test]
    fn a_merge_is_a_row_of_its_own_under_the_version() {
        let changes = at(
            3,
            ContextEvent::Merged(ContextMerged {
                context_id: ContextId::derive(&["c"]),
                space: Space::new("support"),
                kind: "ticket".to_owned(),
                subject: "ada".to_owned(),
                delivery: EventId::derive(&["d"]),
                source_id: "zapier".to_owned(),
                content: Json::from_text("{}"),
                content_sha256: "00".to_owned(),
                model_digest: "m".to_owned(),
                cosine: 1.0,
                exact: true,
            }),
        );
        let [Change::Merged(row)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!((row.version, row.exact), (3, true));
    }
}
