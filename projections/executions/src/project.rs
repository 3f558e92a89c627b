use std::time::SystemTime;

use domain_execution::{ExecutionEvent, ExecutionRequest};
use domain_kernel::{Metadata, Recorded};
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use uuid::Uuid;

/// An event of `mesh.executions` or of `mesh.results`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Request(ExecutionRequest),
    Answer(ExecutionEvent),
}

/// What one event adds to the read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Requested(RequestRow),
    Cancelled(CancellationRow),
    Started(StartRow),
    Ended(EndingRow),
}

/// What every row has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) execution_id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) recorded_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    pub(crate) key: Key,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    pub(crate) workflow_id: Uuid,
    pub(crate) step: String,
    pub(crate) compensation: bool,
    pub(crate) agent_id: String,
    pub(crate) tool: String,
    pub(crate) arguments: String,
    pub(crate) space: String,
    pub(crate) subject: String,
    pub(crate) deadline: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancellationRow {
    pub(crate) key: Key,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRow {
    pub(crate) key: Key,
    pub(crate) version: i64,
    /// A JSON array of context ids.
    pub(crate) shown: String,
    pub(crate) arguments_sha256: String,
    pub(crate) attempt: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingRow {
    pub(crate) key: Key,
    pub(crate) succeeded: bool,
    pub(crate) output: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) duration_ms: i64,
}

/// The row that follows from one event.
pub fn project(recorded: &Recorded<Event>, _position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    let change = match &recorded.event {
        Event::Request(ExecutionRequest::Requested(event)) => Change::Requested(RequestRow {
            key: key(meta, event.execution_id.as_uuid()),
            tenant: storable(meta.tenant.as_str()),
            correlation: meta.correlation.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: storable(&event.step),
            compensation: event.compensation,
            agent_id: storable(&event.agent_id),
            tool: storable(&event.tool),
            arguments: event.arguments.as_str().to_owned(),
            space: storable(event.space.as_str()),
            subject: storable(&event.subject),
            deadline: timestamptz(event.deadline.as_micros()),
        }),
        Event::Request(ExecutionRequest::Cancelled(event)) => Change::Cancelled(CancellationRow {
            key: key(meta, event.execution_id.as_uuid()),
            reason: storable(&event.reason),
        }),
        Event::Answer(ExecutionEvent::Started(event)) => Change::Started(StartRow {
            key: key(meta, event.execution_id.as_uuid()),
            version: i64::try_from(meta.version).unwrap_or(i64::MAX),
            shown: event
                .shown
                .iter()
                .map(ToString::to_string)
                .collect::<serde_json::Value>()
                .to_string(),
            arguments_sha256: storable(&event.arguments_sha256),
            attempt: i64::from(event.attempt),
        }),
        Event::Answer(ExecutionEvent::Succeeded(event)) => Change::Ended(EndingRow {
            key: key(meta, event.execution_id.as_uuid()),
            succeeded: true,
            output: Some(event.output.as_str().to_owned()),
            model: Some(storable(&event.model)),
            code: None,
            reason: None,
            duration_ms: i64::try_from(event.duration_ms).unwrap_or(i64::MAX),
        }),
        Event::Answer(ExecutionEvent::Failed(event)) => Change::Ended(EndingRow {
            key: key(meta, event.execution_id.as_uuid()),
            succeeded: false,
            output: None,
            model: None,
            code: Some(storable(&event.code)),
            reason: Some(storable(&event.reason)),
            duration_ms: i64::try_from(event.duration_ms).unwrap_or(i64::MAX),
        }),
    };
    vec![change]
}

fn key(meta: &Metadata, execution_id: Uuid) -> Key {
    Key {
        execution_id,
        event_id: meta.id.as_uuid(),
        recorded_at: timestamptz(meta.at.as_micros()),
    }
}

#[cfg(test)]
mod tests {
    use domain_execution::{ExecutionFailed, ExecutionStarted};
    use domain_kernel::{
        ContextId, CorrelationId, EventId, ExecutionId, TenantId, Timestamp, WorkflowId,
    };

    use super::*;

    fn at(version: u64, event: ExecutionEvent) -> Vec<Change> {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: None,
                stream: "x".to_owned(),
                version,
                at: Timestamp::from_micros(1),
                source: "/agentmesh/agents".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: Event::Answer(event),
        };
        let position = Position {
            topic: "mesh.results".to_owned(),
            partition: 1,
            offset: 9,
        };
        project(&recorded, &position)
    }

    #[test]
    fn a_start_tells_what_the_agent_was_shown() {
        let shown = ContextId::derive(&["c"]);
        let changes = at(
            2,
            ExecutionEvent::Started(ExecutionStarted {
                execution_id: ExecutionId::derive(&["x"]),
                workflow_id: WorkflowId::derive(&["w"]),
                step: "triage".to_owned(),
                agent_id: "a".to_owned(),
                tool: "t".to_owned(),
                shown: vec![shown],
                arguments_sha256: "00".to_owned(),
                attempt: 2,
            }),
        );
        let [Change::Started(row)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!(row.shown, format!("[\"{shown}\"]"));
        assert_eq!((row.version, row.attempt), (2, 2));
    }

    #[test]
    fn a_failure_has_a_code_and_no_output() {
        let changes = at(
            2,
            ExecutionEvent::Failed(ExecutionFailed {
                execution_id: ExecutionId::derive(&["x"]),
                workflow_id: WorkflowId::derive(&["w"]),
                step: "triage".to_owned(),
                compensation: false,
                agent_id: "a".to_owned(),
                code: "deadline".to_owned(),
                reason: "too\0late".to_owned(),
                duration_ms: 9,
            }),
        );
        let [Change::Ended(row)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!((row.succeeded, row.output.as_deref()), (false, None));
        assert_eq!(row.reason.as_deref(), Some("too\u{fffd}late"));
    }
}
