use std::time::SystemTime;

use domain_effect::{EffectEvent, EffectRequest};
use domain_kernel::{Metadata, Recorded};
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use uuid::Uuid;

/// An event of `mesh.effects` or of `mesh.outcomes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Request(EffectRequest),
    Outcome(EffectEvent),
}

/// What one event adds to the read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Requested(RequestRow),
    Cancelled(CancellationRow),
    Outcome(OutcomeRow),
}

/// What every row has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) effect_id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    pub(crate) recorded_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    pub(crate) key: Key,
    pub(crate) workflow_id: Uuid,
    pub(crate) step: String,
    pub(crate) compensation: bool,
    pub(crate) connector_id: String,
    pub(crate) operation: &'static str,
    pub(crate) object: String,
    pub(crate) id_property: String,
    pub(crate) external_id: String,
    pub(crate) properties: String,
    pub(crate) deadline: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancellationRow {
    pub(crate) key: Key,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRow {
    pub(crate) key: Key,
    pub(crate) version: i64,
    pub(crate) kind: &'static str,
    pub(crate) attempt: Option<i64>,
    pub(crate) remote_id: Option<String>,
    pub(crate) remote_version: Option<String>,
    pub(crate) properties_sha256: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) found: Option<bool>,
}

/// The row that follows from one event.
pub fn project(recorded: &Recorded<Event>, _position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    let change = match &recorded.event {
        Event::Request(EffectRequest::Requested(event)) => Change::Requested(RequestRow {
            key: key(meta, event.effect_id.as_uuid()),
            workflow_id: event.workflow_id.as_uuid(),
            step: storable(&event.step),
            compensation: event.compensation,
            connector_id: storable(&event.connector_id),
            operation: event.operation.as_str(),
            object: storable(&event.object),
            id_property: storable(&event.id_property),
            external_id: storable(&event.external_id),
            properties: event.properties.as_str().to_owned(),
            deadline: timestamptz(event.deadline.as_micros()),
        }),
        Event::Request(EffectRequest::Cancelled(event)) => Change::Cancelled(CancellationRow {
            key: key(meta, event.effect_id.as_uuid()),
            reason: storable(&event.reason),
        }),
        Event::Outcome(event) => Change::Outcome(outcome(meta, event)),
    };
    vec![change]
}

fn outcome(meta: &Metadata, event: &EffectEvent) -> OutcomeRow {
    let blank = |effect_id: Uuid, kind: &'static str| OutcomeRow {
        key: key(meta, effect_id),
        version: i64::try_from(meta.version).unwrap_or(i64::MAX),
        kind,
        attempt: None,
        remote_id: None,
        remote_version: None,
        properties_sha256: None,
        code: None,
        reason: None,
        found: None,
    };
    match event {
        EffectEvent::Attempted(event) => OutcomeRow {
            attempt: Some(i64::from(event.attempt)),
            ..blank(event.effect_id.as_uuid(), "attempted")
        },
        EffectEvent::Confirmed(event) => OutcomeRow {
            remote_id: Some(storable(&event.remote_id)),
            remote_version: Some(storable(&event.remote_version)),
            properties_sha256: Some(storable(&event.properties_sha256)),
            ..blank(event.effect_id.as_uuid(), "confirmed")
        },
        EffectEvent::Failed(event) => OutcomeRow {
            code: Some(storable(&event.code)),
            reason: Some(storable(&event.reason)),
            ..blank(event.effect_id.as_uuid(), "failed")
        },
        EffectEvent::Unknown(event) => OutcomeRow {
            reason: Some(storable(&event.reason)),
            ..blank(event.effect_id.as_uuid(), "unknown")
        },
        EffectEvent::Reconciled(event) => OutcomeRow {
            found: Some(event.found),
            remote_id: event.remote_id.as_deref().map(storable),
            ..blank(event.effect_id.as_uuid(), "reconciled")
        },
    }
}

fn key(meta: &Metadata, effect_id: Uuid) -> Key {
    Key {
        effect_id,
        event_id: meta.id.as_uuid(),
        tenant: storable(meta.tenant.as_str()),
        correlation: meta.correlation.as_uuid(),
        recorded_at: timestamptz(meta.at.as_micros()),
    }
}

#[cfg(test)]
mod tests {
    use domain_effect::{EffectAttempted, EffectConfirmed, Operation};
    use domain_kernel::{CorrelationId, EffectId, EventId, TenantId, Timestamp, WorkflowId};

    use super::*;

    fn at(version: u64, event: EffectEvent) -> OutcomeRow {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: None,
                stream: "f".to_owned(),
                version,
                at: Timestamp::from_micros(1),
                source: "/agentmesh/sync".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: Event::Outcome(event),
        };
        let position = Position {
            topic: "mesh.outcomes".to_owned(),
            partition: 1,
            offset: 9,
        };
        let mut changes = project(&recorded, &position);
        match changes.pop() {
            Some(Change::Outcome(row)) if changes.is_empty() => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_attempt_and_its_confirmation_are_two_rows() {
        let attempted = at(
            1,
            EffectEvent::Attempted(EffectAttempted {
                effect_id: EffectId::derive(&["f"]),
                workflow_id: WorkflowId::derive(&["w"]),
                step: "crm".to_owned(),
                connector_id: "crm".to_owned(),
                operation: Operation::Upsert,
                object: "tickets".to_owned(),
                external_id: "T-1".to_owned(),
                attempt: 1,
            }),
        );
        assert_eq!((attempted.kind, attempted.attempt), ("attempted", Some(1)));
        let confirmed = at(
            2,
            EffectEvent::Confirmed(EffectConfirmed {
                effect_id: EffectId::derive(&["f"]),
                workflow_id: WorkflowId::derive(&["w"]),
                step: "crm".to_owned(),
                compensation: false,
                connector_id: "crm".to_owned(),
                remote_id: "512".to_owned(),
                remote_version: "v".to_owned(),
                properties_sha256: "00".to_owned(),
                evidence: domain_effect::Evidence::Answer,
            }),
        );
        assert_eq!((confirmed.kind, confirmed.version), ("confirmed", 2));
        assert_eq!(confirmed.remote_id.as_deref(), Some("512"));
    }
}
