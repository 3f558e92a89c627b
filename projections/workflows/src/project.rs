use std::time::SystemTime;

use domain_kernel::{Recorded, WorkflowId};
use domain_workflow::{Call, ResolvedCall, WorkflowEvent, WorkflowStarted};
use platform_log::Position;
use platform_postgres::{into_storable, storable, timestamptz};
use uuid::Uuid;

/// What one event changes, or several of one run: the run, and some of its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Nothing in it was said by an event of a lower version.
    pub(crate) first: i64,
    pub(crate) run: RunPatch,
    pub(crate) steps: Vec<StepPatch>,
}

/// A value, and the version of the event that said it: what several events said is
/// put together before it is known which of them are stored already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said<T> {
    pub(crate) version: i64,
    pub(crate) value: T,
}

/// A run after an event. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunPatch {
    pub(crate) workflow_id: Uuid,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    /// Of the last event.
    pub(crate) version: i64,
    pub(crate) status: &'static str,
    /// Apart, as one event in ten has it.
    pub(crate) started: Option<Box<Started>>,
    pub(crate) failed_step: Option<Said<String>>,
    pub(crate) reason: Option<Said<String>>,
    pub(crate) changed_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// Of the event that said all this.
    pub(crate) version: i64,
    pub(crate) definition_id: String,
    pub(crate) definition_digest: String,
    pub(crate) context_id: Uuid,
    pub(crate) kind: String,
    pub(crate) space: String,
    pub(crate) subject: String,
    pub(crate) at: SystemTime,
}

/// A step after an event. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StepPatch {
    pub(crate) step: String,
    /// Of the last event about the step.
    pub(crate) version: i64,
    pub(crate) ordinal: Option<Said<i64>>,
    pub(crate) status: &'static str,
    pub(crate) call: Option<Said<&'static str>>,
    pub(crate) target: Option<Said<String>>,
    pub(crate) output: Option<Said<String>>,
    pub(crate) code: Option<Said<String>>,
    pub(crate) reason: Option<Said<String>>,
    pub(crate) attempts: Option<Said<i64>>,
    pub(crate) started_at: Option<Said<SystemTime>>,
    pub(crate) ended_at: Option<Said<SystemTime>>,
    pub(crate) compensated_at: Option<Said<SystemTime>>,
}

/// The change that follows from one event.
pub fn project(recorded: &Recorded<WorkflowEvent>, _position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    let at = timestamptz(meta.at.as_micros());
    let version = i64::try_from(meta.version).unwrap_or(i64::MAX);
    let run = |id: &WorkflowId, status: &'static str| RunPatch {
        workflow_id: id.as_uuid(),
        tenant: storable(meta.tenant.as_str()),
        correlation: meta.correlation.as_uuid(),
        version,
        status,
        started: None,
        failed_step: None,
        reason: None,
        changed_at: at,
    };
    let step = |name: &str, status: &'static str| StepPatch {
        step: storable(name),
        version,
        status,
        ..StepPatch::default()
    };
    let (run, steps) = match &recorded.event {
        WorkflowEvent::Started(event) => (
            RunPatch {
                started: Some(Box::new(started(event, version, at))),
                ..run(&event.workflow_id, "running")
            },
            pending(event, version),
        ),
        WorkflowEvent::StepStarted(event) => (
            run(&event.workflow_id, "running"),
            vec![StepPatch {
                call: said(version, call_kind(&event.call)),
                target: said(version, target(&event.call)),
                started_at: said(version, at),
                ..step(&event.step, "running")
            }],
        ),
        WorkflowEvent::StepSucceeded(event) => (
            run(&event.workflow_id, "running"),
            vec![StepPatch {
                output: said(version, event.output.as_str().to_owned()),
                ended_at: said(version, at),
                ..step(
                    &event.step,
                    if event.skipped {
                        "skipped"
                    } else {
                        "succeeded"
                    },
                )
            }],
        ),
        WorkflowEvent::StepFailed(event) => (
            RunPatch {
                failed_step: said(version, storable(&event.step)),
                reason: said(version, storable(&event.reason)),
                ..run(&event.workflow_id, "compensating")
            },
            vec![StepPatch {
                code: said(version, storable(&event.code)),
                reason: said(version, storable(&event.reason)),
                ended_at: said(version, at),
                ..step(&event.step, "failed")
            }],
        ),
        WorkflowEvent::CompensationStarted(event) => (
            run(&event.workflow_id, "compensating"),
            vec![StepPatch {
                attempts: said(version, i64::from(event.attempt)),
                ..step(&event.step, "compensating")
            }],
        ),
        WorkflowEvent::StepCompensated(event) => (
            run(&event.workflow_id, "compensating"),
            vec![StepPatch {
                compensated_at: said(version, at),
                ..step(&event.step, "compensated")
            }],
        ),
        WorkflowEvent::Succeeded(event) => (run(&event.workflow_id, "succeeded"), Vec::new()),
        WorkflowEvent::Compensated(event) => (
            RunPatch {
                failed_step: said(version, storable(&event.failed_step)),
                reason: said(version, storable(&event.reason)),
                ..run(&event.workflow_id, "compensated")
            },
            Vec::new(),
        ),
        WorkflowEvent::Parked(event) => (
            RunPatch {
                reason: said(version, storable(&event.reason)),
                ..run(&event.workflow_id, "parked")
            },
            vec![StepPatch {
                reason: said(version, storable(&event.reason)),
                ..step(&event.step, "parked")
            }],
        ),
    };
    vec![Change {
        first: version,
        run,
        steps,
    }]
}

const fn said<T>(version: i64, value: T) -> Option<Said<T>> {
    Some(Said { version, value })
}

fn started(event: &WorkflowStarted, version: i64, at: SystemTime) -> Started {
    Started {
        version,
        definition_id: storable(&event.definition_id),
        definition_digest: storable(&event.definition_digest),
        context_id: event.trigger.context_id.as_uuid(),
        kind: storable(&event.trigger.kind),
        space: storable(event.trigger.space.as_str()),
        subject: storable(&event.trigger.subject),
        at,
    }
}

fn pending(event: &WorkflowStarted, version: i64) -> Vec<StepPatch> {
    (1..)
        .zip(&event.definition.steps)
        .map(|(ordinal, step)| StepPatch {
            step: storable(&step.name),
            version,
            ordinal: said(version, ordinal),
            status: "pending",
            call: said(
                version,
                match step.call {
                    Call::Agent(_) => "agent",
                    Call::Effect(_) => "effect",
                },
            ),
            ..StepPatch::default()
        })
        .collect()
}

const fn call_kind(call: &ResolvedCall) -> &'static str {
    match call {
        ResolvedCall::Agent { .. } => "agent",
        ResolvedCall::Effect { .. } => "effect",
    }
}

fn target(call: &ResolvedCall) -> String {
    into_storable(match call {
        ResolvedCall::Agent { agent_id, tool, .. } => {
            [agent_id.as_str(), "/", tool.as_str()].concat()
        }
        ResolvedCall::Effect {
            connector_id,
            object,
            external_id,
            ..
        } => {
            let parts = [connector_id, object, external_id].map(String::as_str);
            parts.join("/")
        }
    })
}
