use domain_kernel::{ContextId, Decider, Recorded};

use crate::command::{Action, ExecutionCommand};
use crate::error::ExecutionRejection;
use crate::event::{
    ExecutionEvent, ExecutionFailed, ExecutionRequested, ExecutionStarted, ExecutionSucceeded,
};
use crate::react::{NoRequest, react};
use crate::state::{ExecutionState, Phase};

/// One execution, from its first call to its answer.
#[derive(Debug)]
pub struct ExecutionDecider;

impl Decider for ExecutionDecider {
    type State = ExecutionState;
    type Command = ExecutionCommand;
    type Event = ExecutionEvent;
    type Request = NoRequest;
    type Rejection = ExecutionRejection;

    fn decide(
        state: &ExecutionState,
        command: ExecutionCommand,
    ) -> Result<Vec<ExecutionEvent>, ExecutionRejection> {
        let ExecutionCommand { request, action } = command;
        let event = match action {
            Action::Start {
                attempt,
                shown,
                arguments_sha256,
            } => started(state, request, attempt, shown, arguments_sha256)?,
            Action::Succeed {
                output,
                model,
                duration_ms,
            } => match state.phase {
                Phase::Succeeded => None,
                Phase::Failed => return Err(ended(state)),
                Phase::Requested => return Err(ExecutionRejection::NotStarted),
                Phase::Started => Some(ExecutionEvent::Succeeded(ExecutionSucceeded {
                    execution_id: request.execution_id,
                    workflow_id: request.workflow_id,
                    step: request.step,
                    compensation: request.compensation,
                    agent_id: request.agent_id,
                    output,
                    model,
                    duration_ms,
                })),
            },
            Action::Fail {
                code,
                reason,
                duration_ms,
            } => match state.phase {
                Phase::Failed => None,
                Phase::Succeeded => return Err(ended(state)),
                Phase::Requested | Phase::Started => {
                    Some(ExecutionEvent::Failed(ExecutionFailed {
                        execution_id: request.execution_id,
                        workflow_id: request.workflow_id,
                        step: request.step,
                        compensation: request.compensation,
                        agent_id: request.agent_id,
                        code,
                        reason,
                        duration_ms,
                    }))
                }
            },
        };
        Ok(event.into_iter().collect())
    }

    fn evolve(mut state: ExecutionState, event: &ExecutionEvent) -> ExecutionState {
        state.phase = match event {
            ExecutionEvent::Started(started) => {
                state.attempts = started.attempt;
                Phase::Started
            }
            ExecutionEvent::Succeeded(_) => Phase::Succeeded,
            ExecutionEvent::Failed(_) => Phase::Failed,
        };
        state
    }

    fn react(event: &Recorded<ExecutionEvent>) -> Vec<NoRequest> {
        react(event)
    }
}

/// A call may be repeated as long as there is no answer: the agent knows a
/// repeat by the execution id. Each repeat is on record with what was shown.
fn started(
    state: &ExecutionState,
    request: ExecutionRequested,
    attempt: u32,
    shown: Vec<ContextId>,
    arguments_sha256: String,
) -> Result<Option<ExecutionEvent>, ExecutionRejection> {
    if state.outcome().is_some() {
        return Err(ended(state));
    }
    if attempt == state.attempts && attempt > 0 {
        return Ok(None);
    }
    if attempt != state.attempts + 1 {
        return Err(ExecutionRejection::AttemptOutOfOrder {
            attempt,
            last: state.attempts,
        });
    }
    Ok(Some(ExecutionEvent::Started(ExecutionStarted {
        execution_id: request.execution_id,
        workflow_id: request.workflow_id,
        step: request.step,
        agent_id: request.agent_id,
        tool: request.tool,
        shown,
        arguments_sha256,
        attempt,
    })))
}

fn ended(state: &ExecutionState) -> ExecutionRejection {
    ExecutionRejection::Ended {
        outcome: state.outcome().unwrap_or("open"),
    }
}
