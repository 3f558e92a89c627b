use std::collections::BTreeMap;

use domain_kernel::{Json, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::{Definition, PlannedCompensation, ResolvedCall, Step, TriggeredBy};

/// One run, or none yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowState {
    pub run: Option<Run>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub workflow_id: WorkflowId,
    pub definition_id: String,
    pub definition: Definition,
    pub trigger: TriggeredBy,
    pub phase: Phase,
    /// The step that ended the way forward, and why.
    pub failure: Option<Failure>,
    /// By name; a step that was not reached is not among them.
    pub steps: BTreeMap<String, StepState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Running,
    Compensating,
    Succeeded,
    Compensated,
    Parked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub step: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepState {
    /// What was asked for; none for a skipped step and for one whose mapping failed.
    pub call: Option<ResolvedCall>,
    pub progress: Progress,
    pub undo: Undo,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    Running {
        deadline: Timestamp,
    },
    Done {
        output: Json,
    },
    Skipped,
    Failed,
    /// Given up, and done after all.
    DoneLate {
        output: Json,
    },
}

/// Where undoing a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undo {
    /// Nothing to undo.
    Nothing,
    Planned(PlannedCompensation),
    Running {
        planned: PlannedCompensation,
        attempt: u32,
        deadline: Timestamp,
    },
    /// Every attempt failed.
    GivenUp {
        planned: PlannedCompensation,
        attempt: u32,
    },
    Undone,
}

impl WorkflowState {
    /// When the run has to be looked at, though nobody answered.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let steps = self.run.iter().flat_map(|run| run.steps.values());
        steps
            .flat_map(|step| [step.running_until(), step.undoing_until()])
            .flatten()
            .min()
    }
}

impl Run {
    pub fn step_definition(&self, name: &str) -> Option<&Step> {
        self.definition.steps.iter().find(|step| step.name == name)
    }
}

impl StepState {
    pub const fn running_until(&self) -> Option<Timestamp> {
        match self.progress {
            Progress::Running { deadline } => Some(deadline),
            _ => None,
        }
    }

    pub const fn undoing_until(&self) -> Option<Timestamp> {
        match self.undo {
            Undo::Running { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    /// What the step answered; `null` when it was skipped, none while it has not.
    pub fn output(&self) -> Option<Json> {
        match &self.progress {
            Progress::Done { output } | Progress::DoneLate { output } => Some(output.clone()),
            Progress::Skipped => Some(Json::from_text("null")),
            Progress::Running { .. } | Progress::Failed => None,
        }
    }
}
