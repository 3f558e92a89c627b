//! The process manager: trigger, agent step, effect step, compensation.

mod check;
mod command;
mod decide;
mod definition;
mod error;
mod event;
mod evolve;
mod react;
mod request;
#[cfg(test)]
mod spec;
mod state;
mod unwind;

pub use check::{MAX_DEADLINE_MS, MAX_STEPS};
pub use command::{FailStep, Next, Plan, Start, SucceedStep, Then, WorkflowCommand};
pub use decide::WorkflowDecider;
pub use definition::{
    AgentCall, Call, Compensation, Definition, EffectCall, Expression, ResolvedCall, Step, Trigger,
};
pub use error::{DefinitionError, WorkflowRejection};
pub use event::{
    CompensationStarted, PlannedCompensation, StepCompensated, StepFailed, StepStarted,
    StepSucceeded, TriggeredBy, WorkflowCompensated, WorkflowEvent, WorkflowParked,
    WorkflowStarted, WorkflowSucceeded,
};
pub use request::{RequestId, WorkflowRequest};
pub use state::{Failure, Phase, Progress, Run, StepState, Undo, WorkflowState};
