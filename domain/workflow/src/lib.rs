//! The process manager: trigger, agent step, effect step, compensation.

mod definition;
mod event;

pub use definition::{
    AgentCall, Call, Compensation, Definition, EffectCall, Expression, ResolvedCall, Step, Trigger,
};
pub use event::{
    CompensationStarted, PlannedCompensation, StepCompensated, StepFailed, StepStarted,
    StepSucceeded, TriggeredBy, WorkflowCompensated, WorkflowEvent, WorkflowParked,
    WorkflowStarted, WorkflowSucceeded,
};
