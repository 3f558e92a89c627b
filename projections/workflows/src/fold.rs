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

/// The changes of each run, in log order; the runs by their ids.
pub(crate) fn by_run(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    let mut runs: Vec<Vec<Change>> = Vec::new();
    for change in changes {
        let place = *places.entry(change.run.workflow_id).or_insert(runs.len());
        match runs.get_mut(place) {
            Some(run) => run.push(change),
            None => runs.push(vec![change]),
        }
    }
    runs.sort_unstable_by_key(|run| id(run));
    runs
}

/// The run that these are changes of.
pub(crate) fn id(run: &[Change]) -> Option<Uuid> {
    run.first().map(|change| change.run.workflow_id)
}

/// Folds the changes of one run, if there are any. `stored` is the version that is
/// stored: what is at or below is a repeat and changes nothing, whatever it says.
pub(crate) fn fold(run: Vec<Change>, stored: Option<i64>) -> Option<Folded> {
    let mut folded: Option<Folded> = None;
    for Change { run, steps } in run {
        let Some(earlier) = &mut folded else {
            folded = stored
                .is_none_or(|version| version < run.version)
                .then_some(Folded {
                    run,
                    steps,
                    is_known: stored.is_some(),
                });
            continue;
        };
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

    fn workflow() -> WorkflowId {
        WorkflowId::derive(&["w"])
    }

    fn at(version: u64, event: WorkflowEvent) -> Change {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: None,
                stream: workflow().to_string(),
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
                workflow_id: workflow(),
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
                    workflow_id: workflow(),
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
                    workflow_id: workflow(),
                    step: "triage".to_owned(),
                }),
            ),
            at(
                8,
                WorkflowEvent::Compensated(WorkflowCompensated {
                    workflow_id: workflow(),
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
        let folded = &fold(story(), None).unwrap();
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
        assert_eq!(fold(story(), Some(8)), None);
        let folded = fold(story(), Some(7)).unwrap();
        assert!(folded.is_known && folded.steps.is_empty());
    }

    #[test]
    fn each_run_has_its_changes_in_log_order() {
        let mut other = story();
        for change in &mut other {
            change.run.workflow_id = Uuid::nil();
        }
        let mixed = story().into_iter().zip(other.clone());
        let runs = by_run(mixed.flat_map(|(one, other)| [one, other]).collect());
        assert_eq!(runs, [other, story()]);
        assert_eq!(by_run(Vec::new()), Vec::<Vec<Change>>::new());
    }
}
