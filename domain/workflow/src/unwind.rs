//! The way back: finished steps are undone one after the other, the last first.

use domain_kernel::Timestamp;

use crate::decide::{Draft, millis};
use crate::definition::ResolvedCall;
use crate::error::WorkflowRejection;
use crate::event::{CompensationStarted, WorkflowCompensated, WorkflowEvent, WorkflowParked};
use crate::request::{Ask, RequestId};
use crate::state::{Phase, Progress, Run, Undo};

/// Starts the next compensation, or ends the run when none is left.
pub(crate) fn unwind(draft: &mut Draft, now: Timestamp) -> Result<(), WorkflowRejection> {
    let run = draft.run()?;
    if run
        .steps
        .values()
        .any(|step| step.undoing_until().is_some())
    {
        return Ok(());
    }
    let next = run.definition.steps.iter().rev().find_map(|definition| {
        let step = run.steps.get(&definition.name)?;
        // A parked run waits for an operator, but what was done after it was
        // given up is nobody's plan and is undone all the same.
        if run.phase == Phase::Parked && !matches!(step.progress, Progress::DoneLate { .. }) {
            return None;
        }
        match &step.undo {
            Undo::Planned(planned) => Some((definition.name.clone(), planned.clone())),
            _ => None,
        }
    });
    if let Some((step, planned)) = next {
        let event = started(run, step, planned.call, 1, planned.deadline_ms, now);
        draft.push(event);
        return Ok(());
    }
    if run.phase == Phase::Compensating
        && let Some(failure) = &run.failure
    {
        let event = WorkflowEvent::Compensated(WorkflowCompensated {
            workflow_id: run.workflow_id,
            failed_step: failure.step.clone(),
            reason: failure.reason.clone(),
        });
        draft.push(event);
    }
    Ok(())
}

/// Tries the compensation in flight again, or leaves the run to an operator.
pub(crate) fn retry_or_park(
    draft: &mut Draft,
    step: &str,
    reason: &str,
    now: Timestamp,
    attempts: u32,
) -> Result<(), WorkflowRejection> {
    let run = draft.run()?;
    let Some(Undo::Running {
        planned, attempt, ..
    }) = run.steps.get(step).map(|step| &step.undo)
    else {
        return Ok(());
    };
    let event = if *attempt < attempts {
        let call = planned.call.clone();
        started(
            run,
            step.to_owned(),
            call,
            attempt + 1,
            planned.deadline_ms,
            now,
        )
    } else {
        WorkflowEvent::Parked(WorkflowParked {
            workflow_id: run.workflow_id,
            step: step.to_owned(),
            reason: format!("it was not undone in {attempt} attempts: {reason}"),
        })
    };
    draft.push(event);
    Ok(())
}

fn started(
    run: &Run,
    step: String,
    call: ResolvedCall,
    attempt: u32,
    deadline_ms: u64,
    now: Timestamp,
) -> WorkflowEvent {
    WorkflowEvent::CompensationStarted(CompensationStarted {
        workflow_id: run.workflow_id,
        step,
        call,
        space: run.trigger.space.clone(),
        subject: run.trigger.subject.clone(),
        attempt,
        deadline: now.plus_millis(millis(deadline_ms)),
    })
}

/// How an answer relates to the compensation of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The step is undone already.
    Settled,
    /// An attempt before the one in flight, or any once all have failed.
    Earlier,
    /// The attempt in flight.
    Current,
}

/// Checks that a compensation of `step` asked under this id.
pub(crate) fn answered(
    run: &Run,
    request: RequestId,
    step: &str,
) -> Result<Answered, WorkflowRejection> {
    let not_asked = || WorkflowRejection::NotAsked {
        step: step.to_owned(),
    };
    if run.step_definition(step).is_none() {
        return Err(WorkflowRejection::UnknownStep {
            step: step.to_owned(),
        });
    }
    let (planned, last, in_flight) = match run.steps.get(step).map(|step| &step.undo) {
        Some(Undo::Undone) => return Ok(Answered::Settled),
        Some(Undo::Running {
            planned, attempt, ..
        }) => (planned, *attempt, true),
        Some(Undo::GivenUp { planned, attempt }) => (planned, *attempt, false),
        Some(Undo::Nothing | Undo::Planned(_)) | None => return Err(not_asked()),
    };
    let id = |attempt| {
        let ask = Ask {
            workflow_id: run.workflow_id,
            step,
            compensation: Some(attempt),
        };
        ask.id(&planned.call)
    };
    if in_flight && id(last) == request {
        return Ok(Answered::Current);
    }
    if (1..=last).any(|attempt| id(attempt) == request) {
        return Ok(Answered::Earlier);
    }
    Err(not_asked())
}
