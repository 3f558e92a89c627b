use std::time::SystemTime;

use domain_kernel::{Json, Recorded};
use domain_policy::PolicyEvent;
use platform_log::Position;
use platform_postgres::{into_storable, storable, timestamptz};
use uuid::Uuid;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    pub(crate) event_id: Uuid,
    pub(crate) decision_id: Uuid,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    pub(crate) path: String,
    pub(crate) bundle_digest: String,
    pub(crate) input: String,
    pub(crate) result: Option<String>,
    pub(crate) allow: bool,
    /// A JSON array of strings.
    pub(crate) reasons: String,
    pub(crate) engine: String,
    pub(crate) duration_us: i64,
    pub(crate) recorded_at: SystemTime,
}

/// The row that follows from one event.
pub fn project(recorded: &Recorded<PolicyEvent>, position: &Position) -> Vec<DecisionRow> {
    project_owned(recorded.clone(), position)
}

/// As [`project`]; the texts of the event become those of the row.
pub fn project_owned(recorded: Recorded<PolicyEvent>, _position: &Position) -> Vec<DecisionRow> {
    let Recorded {
        meta,
        event: PolicyEvent::Decided(event),
    } = recorded;
    vec![DecisionRow {
        event_id: meta.id.as_uuid(),
        decision_id: event.decision_id.as_uuid(),
        tenant: storable(meta.tenant.as_str()),
        correlation: meta.correlation.as_uuid(),
        path: into_storable(event.path),
        bundle_digest: into_storable(event.bundle_digest),
        input: event.input.into_string(),
        result: event.result.map(Json::into_string),
        allow: event.allow,
        // Texts can always be written as JSON.
        reasons: serde_json::to_string(&event.reasons).unwrap_or_default(),
        engine: into_storable(event.engine),
        duration_us: i64::try_from(event.duration_us).unwrap_or(i64::MAX),
        recorded_at: timestamptz(meta.at.as_micros()),
    }]
}

#[cfg(test)]
mod tests {
    use domain_kernel::{CorrelationId, DecisionId, EventId, Metadata, TenantId, Timestamp};
    use domain_policy::PolicyDecided;

    use super::*;

    #[test]
    fn an_undefined_rule_has_no_result() {
        let correlation = CorrelationId::of_delivery("zapier", "msg_1");
        let rows = project(
            &Recorded {
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
                event: PolicyEvent::Decided(PolicyDecided {
                    decision_id: DecisionId::derive(&["d"]),
                    path: "mesh/ingest".to_owned(),
                    bundle_digest: "sha256:00".to_owned(),
                    input: Json::from_text("{}"),
                    result: None,
                    allow: false,
                    reasons: vec!["a \"quoted\"\0 reason".to_owned()],
                    engine: "regorus".to_owned(),
                    duration_us: 7,
                }),
            },
            &Position {
                topic: "mesh.decisions".to_owned(),
                partition: 0,
                offset: 0,
            },
        );
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].result, None);
        assert_eq!(rows[0].reasons, r#"["a \"quoted\"\u0000 reason"]"#);
    }
}
