//! Many events of a run become one row each of the run and of its steps.

use std::collections::HashMap;

use uuid::Uuid;

use crate::project::{Change, RunPatch, StepPatch};

/// What a batch changes of one run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) run: RunPatch,
    pub(crate) steps: Vec<StepPatch>,
    /// Whether the run is stored already.
    pub(crate) is_known: bool,
}

/// Folds the changes in log order, into one for each run, by their ids. `known`
/// are the versions that are stored: what is at or below is a repeat and changes
/// nothing, whatever it says.
pub(crate) fn fold(changes: Vec<Change>, known: &HashMap<Uuid, i64>) -> Vec<Folded> {
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    let mut folded: Vec<Folded> = Vec::new();
    for Change { run, steps } in changes {
        let id = run.workflow_id;
        let Some(place) = places.get(&id) else {
            let stored = known.get(&id);
            if stored.is_none_or(|version| *version < run.version) {
                places.insert(id, folded.len());
                folded.push(Folded {
                    run,
                    steps,
                    is_known: stored.is_some(),
                });
            }
            continue;
        };
        let earlier = &mut folded[*place];
        if run.version <= earlier.run.version {
            continue;
        }
        merge_run(&mut earlier.run, run);
        for step in steps {
            let mut known = earlier.steps.iter_mut();
            match known.find(|known| known.step == step.step) {
                Some(earlier) => merge_step(earlier, step),
                None => earlier.steps.push(step),
            }
        }
    }
    folded.sort_unstable_by_key(|folded| folded.run.workflow_id);
    folded
}

fn merge_run(run: &mut RunPatch, later: RunPatch) {
    *run = RunPatch {
        started: later.started.or_else(|| run.started.take()),
        failed_step: later.failed_step.or_else(|| run.failed_step.take()),
        reason: later.reason.or_else(|| run.reason.take()),
        ..later
    };
}

fn merge_step(step: &mut StepPatch, later: StepPatch) {
    *step = StepPatch {
        step: later.step,
        ordinal: later.ordinal.or(step.ordinal),
        status: later.status,
        call: later.call.or(step.call),
        target: later.target.or_else(|| step.target.take()),
        output: later.output.or_else(|| step.output.take()),
        code: later.code.or_else(|| step.code.take()),
        reason: later.reason.or_else(|| step.reason.take()),
        attempts: later.attempts.or(step.attempts),
        started_at: later.started_at.or(step.started_at),
        ended_at: later.ended_at.or(step.ended_at),
        compensated_at: later.compensated_at.or(step.compensated_at),
    };
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

    fn step<'a>(folded: &'a Folded, name: &str) -> &'a StepPatch {
        folded.steps.iter().find(|step| step.step == name).unwrap()
    }

    #[test]
    fn a_run_is_one_row_and_each_step_is_one() {
        let folded = fold(story(), &HashMap::new());
        let [folded] = folded.as_slice() else {
            panic!("{folded:?}");
        };
        let run = &folded.run;
        assert_eq!((run.status, run.version), ("compensated", 8));
        assert_eq!(run.failed_step.as_deref(), Some("crm"));
        assert!(!folded.is_known);
        assert_eq!(folded.steps.len(), 2);
        let triage = step(folded, "triage");
        assert_eq!(triage.status, "compensated");
        assert_eq!(triage.output.as_deref(), Some("{}"));
        let crm = step(folded, "crm");
        assert_eq!((crm.status, crm.reason.as_deref()), ("failed", Some("400")));
    }

    #[test]
    fn what_is_stored_already_changes_nothing() {
        let known = HashMap::from([(id().as_uuid(), 8)]);
        assert_eq!(fold(story(), &known), []);
        let known = HashMap::from([(id().as_uuid(), 7)]);
        let folded = fold(story(), &known);
        assert_eq!(folded.len(), 1);
        assert!(folded[0].is_known && folded[0].steps.is_empty());
    }
}
