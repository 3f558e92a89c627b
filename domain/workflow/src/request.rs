//! What the workflow asks others for, and the ids under which it asks.

use domain_effect::{EffectCancelled, EffectRequest, EffectRequested};
use domain_execution::{ExecutionCancelled, ExecutionRequest, ExecutionRequested};
use domain_kernel::{EffectId, ExecutionId, Space, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::ResolvedCall;

/// What follows from a workflow's event, for `mesh.executions` or `mesh.effects`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkflowRequest {
    Execution(ExecutionRequest),
    Effect(EffectRequest),
}

/// The id of what was asked for; answers carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RequestId {
    Execution(ExecutionId),
    Effect(EffectId),
}

/// What is asked of whom: a step to be done, or to be undone. Its id is derived
/// from the run, the step and what it is for, so that deciding or reacting again
/// asks under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask<'a> {
    pub(crate) workflow_id: WorkflowId,
    pub(crate) step: &'a str,
    /// The attempt at undoing the step, counted from 1; none when it is done.
    pub(crate) compensation: Option<u32>,
}

impl Ask<'_> {
    pub(crate) fn id(self, call: &ResolvedCall) -> RequestId {
        match call {
            ResolvedCall::Agent { .. } => RequestId::Execution(self.execution_id()),
            ResolvedCall::Effect { .. } => RequestId::Effect(self.effect_id()),
        }
    }

    pub(crate) fn request(
        self,
        call: &ResolvedCall,
        space: &Space,
        subject: &str,
        deadline: Timestamp,
    ) -> WorkflowRequest {
        match call.clone() {
            ResolvedCall::Agent {
                agent_id,
                tool,
                arguments,
            } => WorkflowRequest::Execution(ExecutionRequest::Requested(ExecutionRequested {
                execution_id: self.execution_id(),
                workflow_id: self.workflow_id,
                step: self.step.to_owned(),
                compensation: self.compensation.is_some(),
                agent_id,
                tool,
                arguments,
                space: space.clone(),
                subject: subject.to_owned(),
                deadline,
            })),
            ResolvedCall::Effect {
                connector_id,
                operation,
                object,
                id_property,
                external_id,
                properties,
            } => WorkflowRequest::Effect(EffectRequest::Requested(EffectRequested {
                effect_id: self.effect_id(),
                workflow_id: self.workflow_id,
                step: self.step.to_owned(),
                compensation: self.compensation.is_some(),
                connector_id,
                operation,
                object,
                id_property,
                external_id,
                properties,
                deadline,
            })),
        }
    }

    pub(crate) fn cancellation(self, call: &ResolvedCall, reason: &str) -> WorkflowRequest {
        match call.clone() {
            ResolvedCall::Agent { .. } => {
                WorkflowRequest::Execution(ExecutionRequest::Cancelled(ExecutionCancelled {
                    execution_id: self.execution_id(),
                    workflow_id: self.workflow_id,
                    step: self.step.to_owned(),
                    reason: reason.to_owned(),
                }))
            }
            ResolvedCall::Effect {
                connector_id,
                object,
                external_id,
                ..
            } => WorkflowRequest::Effect(EffectRequest::Cancelled(EffectCancelled {
                effect_id: self.effect_id(),
                workflow_id: self.workflow_id,
                step: self.step.to_owned(),
                connector_id,
                object,
                external_id,
                reason: reason.to_owned(),
            })),
        }
    }

    fn execution_id(self) -> ExecutionId {
        let [workflow, purpose, attempt] = self.parts();
        ExecutionId::derive(&[&workflow, self.step, &purpose, &attempt])
    }

    fn effect_id(self) -> EffectId {
        let [workflow, purpose, attempt] = self.parts();
        EffectId::derive(&[&workflow, self.step, &purpose, &attempt])
    }

    fn parts(self) -> [String; 3] {
        let purpose = match self.compensation {
            None => "step",
            Some(_) => "compensation",
        };
        [
            self.workflow_id.to_string(),
            purpose.to_owned(),
            self.compensation.unwrap_or(1).to_string(),
        ]
    }
}
