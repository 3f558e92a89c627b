use std::collections::BTreeMap;

use domain_kernel::Json;

use crate::event::{CompensationStarted, StepSucceeded, WorkflowEvent};
use crate::state::{Failure, Phase, Progress, Run, StepState, Undo, WorkflowState};

pub(crate) fn evolve(mut state: WorkflowState, event: &WorkflowEvent) -> WorkflowState {
    if let WorkflowEvent::Started(started) = event {
        state.run = Some(Run {
            workflow_id: started.workflow_id,
            definition_id: started.definition_id.clone(),
            definition: started.definition.clone(),
            trigger: started.trigger.clone(),
            phase: Phase::Running,
            failure: None,
            steps: BTreeMap::new(),
        });
        return state;
    }
    if let Some(run) = &mut state.run {
        apply(run, event);
    }
    state
}

fn apply(run: &mut Run, event: &WorkflowEvent) {
    match event {
        WorkflowEvent::Started(_) => {}
        WorkflowEvent::StepStarted(started) => {
            let step = StepState {
                call: Some(started.call.clone()),
                progress: Progress::Running {
                    deadline: started.deadline,
                },
                undo: Undo::Nothing,
            };
            run.steps.insert(started.step.clone(), step);
        }
        WorkflowEvent::StepSucceeded(succeeded) => step_succeeded(run, succeeded),
        WorkflowEvent::StepFailed(failed) => {
            step(run, &failed.step).progress = Progress::Failed;
            run.phase = Phase::Compensating;
            run.failure = Some(Failure {
                step: failed.step.clone(),
                reason: failed.reason.clone(),
            });
        }
        WorkflowEvent::CompensationStarted(started) => compensation_started(run, started),
        WorkflowEvent::StepCompensated(compensated) => {
            step(run, &compensated.step).undo = Undo::Undone;
        }
        WorkflowEvent::Succeeded(_) => run.phase = Phase::Succeeded,
        WorkflowEvent::Compensated(_) => run.phase = Phase::Compensated,
        WorkflowEvent::Parked(parked) => {
            run.phase = Phase::Parked;
            let step = step(run, &parked.step);
            if let Undo::Running {
                planned, attempt, ..
            } = &step.undo
            {
                step.undo = Undo::GivenUp {
                    planned: planned.clone(),
                    attempt: *attempt,
                };
            }
        }
    }
}

fn step_succeeded(run: &mut Run, succeeded: &StepSucceeded) {
    let step = step(run, &succeeded.step);
    step.progress = if succeeded.skipped {
        Progress::Skipped
    } else if step.progress == Progress::Failed {
        Progress::DoneLate {
            output: succeeded.output.clone(),
        }
    } else {
        Progress::Done {
            output: succeeded.output.clone(),
        }
    };
    if let Some(planned) = &succeeded.compensation {
        step.undo = Undo::Planned(planned.clone());
    }
}

fn compensation_started(run: &mut Run, started: &CompensationStarted) {
    let step = step(run, &started.step);
    step.undo = match std::mem::replace(&mut step.undo, Undo::Nothing) {
        Undo::Planned(planned) | Undo::Running { planned, .. } | Undo::GivenUp { planned, .. } => {
            Undo::Running {
                planned,
                attempt: started.attempt,
                deadline: started.deadline,
            }
        }
        settled @ (Undo::Nothing | Undo::Undone) => settled,
    };
}

/// A skipped step, and one whose mapping failed, enter the run here.
fn step<'a>(run: &'a mut Run, name: &str) -> &'a mut StepState {
    run.steps
        .entry(name.to_owned())
        .or_insert_with(|| StepState {
            call: None,
            progress: Progress::Done {
                output: Json::from_text("null"),
            },
            undo: Undo::Nothing,
        })
}
