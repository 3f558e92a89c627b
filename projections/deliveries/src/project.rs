use domain_delivery::DeliveryEvent;
use domain_kernel::Recorded;
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use std::time::SystemTime;
use uuid::Uuid;

/// What one event adds to the read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Accepted(AcceptedRow),
    Refused(RefusedRow),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedRow {
    pub(crate) key: Key,
    pub(crate) delivery_id: String,
    pub(crate) event_type: String,
    pub(crate) subject: Option<String>,
    pub(crate) scheme: String,
    pub(crate) auth: &'static str,
    pub(crate) key_id: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body_sha256: String,
    pub(crate) body_bytes: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    pub(crate) key: Key,
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    pub(crate) body_sha256: String,
    pub(crate) body_bytes: i64,
}

/// What both kinds of row have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) event_id: Uuid,
    pub(crate) correlation: Uuid,
    pub(crate) tenant: String,
    pub(crate) space: String,
    pub(crate) source_id: String,
    pub(crate) recorded_at: SystemTime,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// The rows that follow from one event.
pub fn project(recorded: &Recorded<DeliveryEvent>, position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    let key = |space: &str, source_id: &str| Key {
        event_id: meta.id.as_uuid(),
        correlation: meta.correlation.as_uuid(),
        tenant: storable(meta.tenant.as_str()),
        space: storable(space),
        source_id: storable(source_id),
        recorded_at: timestamptz(meta.at.as_micros()),
        partition: position.partition,
        offset: position.offset,
    };
    let change = match &recorded.event {
        DeliveryEvent::Accepted(event) => Change::Accepted(AcceptedRow {
            key: key(event.space.as_str(), &event.source_id),
            delivery_id: storable(&event.delivery_id),
            event_type: storable(&event.event_type),
            subject: event.subject.as_deref().map(storable),
            scheme: storable(&event.scheme),
            auth: event.auth.as_str(),
            key_id: event.key_id.as_deref().map(storable),
            content_type: storable(&event.content_type),
            body_sha256: storable(&event.body_sha256),
            body_bytes: i64::try_from(event.body.len()).unwrap_or(i64::MAX),
        }),
        DeliveryEvent::Refused(event) => Change::Refused(RefusedRow {
            key: key(event.space.as_str(), &event.source_id),
            reason: event.reason.as_str(),
            detail: storable(&event.detail),
            body_sha256: storable(&event.body_sha256),
            body_bytes: i64::try_from(event.body_size).unwrap_or(i64::MAX),
        }),
    };
    vec![change]
}

#[cfg(test)]
mod tests {
    use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryRefused, RefusalReason};
    use domain_kernel::{CorrelationId, EventId, Metadata, Space, TenantId, Timestamp};

    use super::*;

    fn recorded(event: DeliveryEvent) -> Recorded<DeliveryEvent> {
        let correlation = CorrelationId::of_delivery("zapier", "msg_1");
        Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation,
                causation: None,
                stream: correlation.to_string(),
                version: 1,
                at: Timestamp::from_micros(1),
                source: "/agentmesh/gateway".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        }
    }

    fn position() -> Position {
        Position {
            topic: "mesh.deliveries".to_owned(),
            partition: 2,
            offset: 7,
        }
    }

    #[test]
    fn an_accepted_delivery_is_one_row_without_its_body() {
        let event = DeliveryEvent::Accepted(DeliveryAccepted {
            source_id: "zapier".to_owned(),
            delivery_id: "msg\0_1".to_owned(),
            space: Space::new("support"),
            scheme: "standard-webhooks".to_owned(),
            auth: AuthMethod::HmacSha256,
            key_id: None,
            content_type: "application/json".to_owned(),
            body: vec![0; 12],
            body_sha256: "00ff".to_owned(),
            signed_headers: Vec::new(),
            event_type: "ticket".to_owned(),
            subject: Some("ada".to_owned()),
            request: None,
            source_version: None,
            quarantine: None,
        });
        let changes = project(&recorded(event), &position());
        let [Change::Accepted(row)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!(row.body_bytes, 12);
        assert_eq!(row.delivery_id, "msg\u{fffd}_1");
        assert_eq!((row.key.partition, row.key.offset), (2, 7));
        assert_eq!(row.key.space, "support");
    }

    #[test]
    fn a_refusal_is_one_row_with_its_reason() {
        let event = DeliveryEvent::Refused(DeliveryRefused {
            source_id: "zapier".to_owned(),
            space: Space::new("support"),
            reason: RefusalReason::BadSignature,
            detail: "no secret matched".to_owned(),
            body_sha256: "00ff".to_owned(),
            body_size: 3,
        });
        let changes = project(&recorded(event), &position());
        let [Change::Refused(row)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!((row.reason, row.body_bytes), ("bad-signature", 3));
    }
}
