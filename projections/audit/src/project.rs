use std::time::SystemTime;

use domain_kernel::Recorded;
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use schemas::AnyEvent;
use uuid::Uuid;

/// An event and the digest of the bytes it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    pub event: AnyEvent,
    /// Lowercase hexadecimal SHA-256 of the record's value.
    pub value_sha256: String,
}

/// One event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub(crate) event_id: Uuid,
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) name: &'static str,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    pub(crate) causation: Option<Uuid>,
    pub(crate) recorded_at: SystemTime,
    pub(crate) source: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) body: String,
    pub(crate) value_sha256: String,
}

/// The row that follows from one event.
pub fn project(recorded: &Recorded<Audited>, position: &Position) -> Vec<EventRow> {
    let meta = &recorded.meta;
    let Audited {
        event,
        value_sha256,
    } = &recorded.event;
    vec![EventRow {
        event_id: meta.id.as_uuid(),
        topic: event.topic(),
        partition: position.partition,
        offset: position.offset,
        name: event.name(),
        stream: storable(&meta.stream),
        version: i64::try_from(meta.version).unwrap_or(i64::MAX),
        tenant: storable(meta.tenant.as_str()),
        correlation: meta.correlation.as_uuid(),
        causation: meta.causation.map(|id| id.as_uuid()),
        recorded_at: timestamptz(meta.at.as_micros()),
        source: storable(&meta.source),
        traceparent: meta.traceparent.as_deref().map(storable),
        actor: meta.actor.as_ref().map(|actor| storable(actor.as_str())),
        // An event that was decoded renders; the digest would tell if one did not.
        body: event.to_json().unwrap_or_default().to_string(),
        value_sha256: value_sha256.clone(),
    }]
}

#[cfg(test)]
mod tests {
    use domain_kernel::{CorrelationId, EventId, Metadata, TenantId, Timestamp, WorkflowId};
    use domain_workflow::{StepCompensated, WorkflowEvent};

    use super::*;

    #[test]
    fn a_row_says_where_on_the_log_the_event_is() {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: Some(EventId::derive(&["cause"])),
                stream: "w".to_owned(),
                version: 4,
                at: Timestamp::from_micros(1),
                source: "/agentmesh/workflow".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: Audited {
                event: AnyEvent::Workflow(WorkflowEvent::StepCompensated(StepCompensated {
                    workflow_id: WorkflowId::derive(&["w"]),
                    step: "nul\0".to_owned(),
                })),
                value_sha256: "00ff".to_owned(),
            },
        };
        let position = Position {
            topic: "mesh.workflows".to_owned(),
            partition: 3,
            offset: 12,
        };
        let rows = project(&recorded, &position);
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!(
            (row.topic, row.partition, row.offset),
            ("mesh.workflows", 3, 12)
        );
        assert_eq!((row.name, row.version), ("StepCompensated", 4));
        assert!(row.body.contains("nul\\u0000") && !row.body.contains('\0'));
    }
}
