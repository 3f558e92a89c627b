use domain_context::SubscriberNotified;
use domain_effect::{EffectConfirmed, EffectEvent, EffectFailed};
use domain_execution::{ExecutionEvent, ExecutionFailed, ExecutionSucceeded};
use domain_kernel::WorkflowId;

/// What a run hears of. Everything else on the input topics is on the way to one
/// of these: an effect whose outcome is unknown will be confirmed or fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Notified(SubscriberNotified),
    ExecutionSucceeded(ExecutionSucceeded),
    ExecutionFailed(ExecutionFailed),
    EffectConfirmed(EffectConfirmed),
    EffectFailed(EffectFailed),
}

impl Input {
    pub(crate) fn of_execution(event: ExecutionEvent) -> Option<Self> {
        match event {
            ExecutionEvent::Succeeded(event) => Some(Self::ExecutionSucceeded(event)),
            ExecutionEvent::Failed(event) => Some(Self::ExecutionFailed(event)),
            ExecutionEvent::Started(_) => None,
        }
    }

    pub(crate) fn of_effect(event: EffectEvent) -> Option<Self> {
        match event {
            EffectEvent::Confirmed(event) => Some(Self::EffectConfirmed(event)),
            EffectEvent::Failed(event) => Some(Self::EffectFailed(event)),
            EffectEvent::Attempted(_) | EffectEvent::Unknown(_) | EffectEvent::Reconciled(_) => {
                None
            }
        }
    }

    /// The run an answer belongs to; none for a notification, which starts one.
    pub(crate) fn workflow_id(&self) -> Option<WorkflowId> {
        match self {
            Self::Notified(_) => None,
            Self::ExecutionSucceeded(event) => Some(event.workflow_id),
            Self::ExecutionFailed(event) => Some(event.workflow_id),
            Self::EffectConfirmed(event) => Some(event.workflow_id),
            Self::EffectFailed(event) => Some(event.workflow_id),
        }
    }
}
