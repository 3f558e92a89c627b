//! Many events of a run become one row each of the run and of its steps.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::project::{Change, RunPatch, StepPatch};

/// What a batch changes, folded per row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) runs: BTreeMap<Uuid, RunPatch>,
    pub(crate) steps: BTreeMap<(Uuid, String), StepPatch>,
}

/// Folds the changes in log order. `known` are the versions that are stored:
/// what is at or below is a repeat and changes nothing, whatever it says.
pub(crate) fn fold(changes: Vec<Change>, mut known: HashMap<Uuid, i64>) -> Folded {
    let mut folded = Folded::default();
    for Change { run, steps } in changes {
        let id = run.workflow_id;
        let version = known.entry(id).or_default();
        if run.version <= *version {
            continue;
        }
        *version = run.version;
        for step in steps {
            let key = (id, step.step.clone());
            let merged = match folded.steps.remove(&key) {
                Some(earlier) => merge_step(earlier, step),
                None => step,
            };
            folded.steps.insert(key, merged);
        }
        let merged = match folded.runs.remove(&id) {
            Some(earlier) => merge_run(earlier, run),
            None => run,
        };
        folded.runs.insert(id, merged);
    }
    folded
}

fn merge_run(earlier: RunPatch, later: RunPatch) -> RunPatch {
    RunPatch {
        started: later.started.or(earlier.started),
        failed_step: later.failed_step.or(earlier.failed_step),
        reason: later.reason.or(earlier.reason),
        ..later
    }
}

fn merge_step(earlier: StepPatch, later: StepPatch) -> StepPatch {
    StepPatch {
        step: later.step,
        ordinal: later.ordinal.or(earlier.ordinal),
        status: later.status,
        call: later.call.or(earlier.call),
        target: later.target.or(earlier.target),
        output: later.output.or(earlier.output),
        code: later.code.or(earlier.code),
        reason: later.reason.or(earlier.reason),
        attempts: later.attempts.or(earlier.attempts),
        started_at: later.started_at.or(earlier.started_at),
        ended_at: later.ended_at.or(earlier.ended_at),
        compensated_at: later.compensated_at.or(earlier.compensated_at),
    }
}

#[cfg(test)]
mod tests {
    use domain_kernel::{
        CorrelationId, EventId, Json, Metadata, Recorded, TenantId, Timestamp, WorkflowId,
    };
    use domain_workflow::{
        StepCompensated, StepFailed, StepSucceeded, WorkflowCompensated, WorkflowEvent,
    };
    use platform_log::Position;

    use super::*;
    use crate::project::project;

    fn id() -> WorkflowId {
        WorkflowId::derive(&["w"])
    }

    fn at(version: u64, event: WorkflowEvent) -> Change {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: None,
                stream: id().to_string(),
                version,
                at: Timestamp::from_micros(i64::try_from(version).unwrap()),
                source: "/agentmesh/workflow".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        };
        let position = Position {
            topic: "mesh.workflows".to_owned(),
            partition: 1,
            offset: 9,
        };
        project(&recorded, &position).remove(0)
    }

    fn story() -> Vec<Change> {
        let failed = |reason: &str| {
            WorkflowEvent::StepFailed(StepFailed {
                workflow_id: id(),
                step: "crm".to_owned(),
                code: "rejected".to_owned(),
                reason: reason.to_owned(),
                cancels: None,
            })
        };
        vec![
            at(
                3,
                WorkflowEvent::StepSucceeded(StepSucceeded {
                    workflow_id: id(),
                    step: "triage".to_owned(),
                    output: Json::from_text("{}"),
                    skipped: false,
                    compensation: None,
                }),
            ),
            at(5, failed("400")),
            at(5, failed("a repeat with other words")),
            at(
                7,
                WorkflowEvent::StepCompensated(StepCompensated {
                    workflow_id: id(),
                    step: "triage".to_owned(),
                }),
            ),
            at(
                8,
                WorkflowEvent::Compensated(WorkflowCompensated {
                    workflow_id: id(),
                    failed_step: "crm".to_owned(),
                    reason: "400".to_owned(),
                }),
            ),
        ]
    }

    #[test]
    fn a_run_is_one_row_and_each_step_is_one() {
        let folded = fold(story(), HashMap::new());
        let run = &folded.runs[&id().as_uuid()];
        assert_eq!((run.status, run.version), ("compensated", 8));
        assert_eq!(run.failed_step.as_deref(), Some("crm"));
        let triage = &folded.steps[&(id().as_uuid(), "triage".to_owned())];
        assert_eq!(triage.status, "compensated");
        assert_eq!(triage.output.as_deref(), Some("{}"));
        let crm = &folded.steps[&(id().as_uuid(), "crm".to_owned())];
        assert_eq!((crm.status, crm.reason.as_deref()), ("failed", Some("400")));
    }

    #[test]
    fn what_is_stored_already_changes_nothing() {
        let known = HashMap::from([(id().as_uuid(), 8)]);
        assert_eq!(fold(story(), known), Folded::default());
        let known = HashMap::from([(id().as_uuid(), 7)]);
        assert!(fold(story(), known).steps.is_empty());
    }
}
