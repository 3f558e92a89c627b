use std::time::SystemTime;

use domain_kernel::{Recorded, WorkflowId};
use domain_workflow::{Call, ResolvedCall, WorkflowEvent, WorkflowStarted};
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use uuid::Uuid;

/// What one event changes: the run, and some of its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub(crate) run: RunPatch,
    pub(crate) steps: Vec<StepPatch>,
}

/// A run after an event. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunPatch {
    pub(crate) workflow_id: Uuid,
    pub(crate) tenant: String,
    pub(crate) correlation: Uuid,
    pub(crate) version: i64,
    pub(crate) status: &'static str,
    /// Apart, as one event in ten has it.
    pub(crate) started: Option<Box<Started>>,
    pub(crate) failed_step: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) changed_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
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
    pub(crate) ordinal: Option<i64>,
    pub(crate) status: &'static str,
    pub(crate) call: Option<&'static str>,
    pub(crate) target: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) attempts: Option<i64>,
    pub(crate) started_at: Option<SystemTime>,
    pub(crate) ended_at: Option<SystemTime>,
    pub(crate) compensated_at: Option<SystemTime>,
}

/// The change that follows from one event.
pub fn project(recorded: &Recorded<WorkflowEvent>, _position: &Position) -> Vec<Change> {
    let meta = &recorded.meta;
    let at = timestamptz(meta.at.as_micros());
    let run = |id: &WorkflowId, status: &'static str| RunPatch {
        workflow_id: id.as_uuid(),
        tenant: storable(meta.tenant.as_str()),
        correlation: meta.correlation.as_uuid(),
        version: i64::try_from(meta.version).unwrap_or(i64::MAX),
        status,
        started: None,
        failed_step: None,
        reason: None,
        changed_at: at,
    };
    let step = |name: &str, status: &'static str| StepPatch {
        step: storable(name),
        status,
        ..StepPatch::default()
    };
    let change = match &recorded.event {
        WorkflowEvent::Started(event) => Change {
            run: RunPatch {
                started: Some(Box::new(started(event, at))),
                ..run(&event.workflow_id, "running")
            },
            steps: pending(event),
        },
        WorkflowEvent::StepStarted(event) => Change {
            run: run(&event.workflow_id, "running"),
            steps: vec![StepPatch {
                call: Some(call_kind(&event.call)),
                target: Some(target(&event.call)),
                started_at: Some(at),
                ..step(&event.step, "running")
            }],
        },
        WorkflowEvent::StepSucceeded(event) => Change {
            run: run(&event.workflow_id, "running"),
            steps: vec![StepPatch {
                output: Some(event.output.as_str().to_owned()),
                ended_at: Some(at),
                ..step(
                    &event.step,
                    if event.skipped {
                        "skipped"
                    } else {
                        "succeeded"
                    },
                )
            }],
        },
        WorkflowEvent::StepFailed(event) => Change {
            run: RunPatch {
                failed_step: Some(storable(&event.step)),
                reason: Some(storable(&event.reason)),
                ..run(&event.workflow_id, "compensating")
            },
            steps: vec![StepPatch {
                code: Some(storable(&event.code)),
                reason: Some(storable(&event.reason)),
                ended_at: Some(at),
                ..step(&event.step, "failed")
            }],
        },
        WorkflowEvent::CompensationStarted(event) => Change {
            run: run(&event.workflow_id, "compensating"),
            steps: vec![StepPatch {
                attempts: Some(i64::from(event.attempt)),
                ..step(&event.step, "compensating")
            }],
        },
        WorkflowEvent::StepCompensated(event) => Change {
            run: run(&event.workflow_id, "compensating"),
            steps: vec![StepPatch {
                compensated_at: Some(at),
                ..step(&event.step, "compensated")
            }],
        },
        WorkflowEvent::Succeeded(event) => Change {
            run: run(&event.workflow_id, "succeeded"),
            steps: Vec::new(),
        },
        WorkflowEvent::Compensated(event) => Change {
            run: RunPatch {
                failed_step: Some(storable(&event.failed_step)),
                reason: Some(storable(&event.reason)),
                ..run(&event.workflow_id, "compensated")
            },
            steps: Vec::new(),
        },
        WorkflowEvent::Parked(event) => Change {
            run: RunPatch {
                reason: Some(storable(&event.reason)),
                ..run(&event.workflow_id, "parked")
            },
            steps: vec![StepPatch {
                reason: Some(storable(&event.reason)),
                ..step(&event.step, "parked")
            }],
        },
    };
    vec![change]
}

fn started(event: &WorkflowStarted, at: SystemTime) -> Started {
    Started {
        definition_id: storable(&event.definition_id),
        definition_digest: storable(&event.definition_digest),
        context_id: event.trigger.context_id.as_uuid(),
        kind: storable(&event.trigger.kind),
        space: storable(event.trigger.space.as_str()),
        subject: storable(&event.trigger.subject),
        at,
    }
}

fn pending(event: &WorkflowStarted) -> Vec<StepPatch> {
    (1..)
        .zip(&event.definition.steps)
        .map(|(ordinal, step)| StepPatch {
            step: storable(&step.name),
            ordinal: Some(ordinal),
            status: "pending",
            call: Some(match step.call {
                Call::Agent(_) => "agent",
                Call::Effect(_) => "effect",
            }),
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
    storable(&match call {
        ResolvedCall::Agent { agent_id, tool, .. } => format!("{agent_id}/{tool}"),
        ResolvedCall::Effect {
            connector_id,
            object,
            external_id,
            ..
        } => format!("{connector_id}/{object}/{external_id}"),
    })
}
