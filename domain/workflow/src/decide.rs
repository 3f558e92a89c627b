use domain_kernel::{Decider, Json, Recorded, Timestamp};

use crate::command::{FailStep, Next, Plan, Start, SucceedStep, Then, WorkflowCommand};
use crate::definition::Step;
use crate::error::WorkflowRejection;
use crate::event::{
    StepCompensated, StepFailed, StepStarted, StepSucceeded, WorkflowEvent, WorkflowParked,
    WorkflowStarted, WorkflowSucceeded,
};
use crate::evolve::evolve;
use crate::react::react;
use crate::request::{Ask, RequestId, WorkflowRequest};
use crate::state::{Progress, Run, StepState, WorkflowState};
use crate::unwind::{Answered, answered, retry_or_park, unwind};

/// One run of one workflow: forward step by step, and back when a step fails.
#[derive(Debug)]
pub struct WorkflowDecider;

impl Decider for WorkflowDecider {
    type State = WorkflowState;
    type Command = WorkflowCommand;
    type Event = WorkflowEvent;
    type Request = WorkflowRequest;
    type Rejection = WorkflowRejection;

    fn decide(
        state: &WorkflowState,
        command: WorkflowCommand,
    ) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
        let mut draft = Draft::on(state);
        match command {
            WorkflowCommand::Start(start) => begin(&mut draft, start)?,
            WorkflowCommand::SucceedStep(answer) => succeed_step(&mut draft, answer)?,
            WorkflowCommand::FailStep(answer) => fail_step(&mut draft, answer)?,
            WorkflowCommand::SucceedCompensation { request, step, now } => {
                succeed_compensation(&mut draft, request, &step, now)?;
            }
            WorkflowCommand::FailCompensation {
                request,
                step,
                reason,
                now,
                attempts,
            } => {
                if answered(draft.run()?, request, &step)? == Answered::Current {
                    retry_or_park(&mut draft, &step, &reason, now, attempts)?;
                }
            }
            WorkflowCommand::Tick { now, attempts } => tick(&mut draft, now, attempts)?,
        }
        Ok(draft.events)
    }

    fn evolve(state: WorkflowState, event: &WorkflowEvent) -> WorkflowState {
        evolve(state, event)
    }

    fn react(event: &Recorded<WorkflowEvent>) -> Vec<WorkflowRequest> {
        react(event)
    }
}

/// Events decided so far, and the state after them.
pub(crate) struct Draft {
    state: WorkflowState,
    events: Vec<WorkflowEvent>,
}

impl Draft {
    fn on(state: &WorkflowState) -> Self {
        Self {
            state: state.clone(),
            events: Vec::new(),
        }
    }

    pub(crate) fn run(&self) -> Result<&Run, WorkflowRejection> {
        self.state.run.as_ref().ok_or(WorkflowRejection::NotStarted)
    }

    pub(crate) fn push(&mut self, event: WorkflowEvent) {
        self.state = evolve(std::mem::take(&mut self.state), &event);
        self.events.push(event);
    }
}

fn begin(draft: &mut Draft, start: Start) -> Result<(), WorkflowRejection> {
    if draft.state.run.is_some() {
        return Ok(());
    }
    draft.push(WorkflowEvent::Started(WorkflowStarted {
        workflow_id: start.workflow_id,
        definition_id: start.definition_id,
        definition_digest: start.definition_digest,
        definition: start.definition,
        trigger: start.trigger,
    }));
    follow(draft, start.next, start.now)
}

fn succeed_step(draft: &mut Draft, answer: SucceedStep) -> Result<(), WorkflowRejection> {
    let step = asked(draft.run()?, answer.request, &answer.step)?;
    let late = match step.progress {
        Progress::Running { .. } => false,
        // Given up, but done after all: whatever it did has to be undone.
        Progress::Failed => true,
        Progress::Done { .. } | Progress::DoneLate { .. } | Progress::Skipped => return Ok(()),
    };
    let workflow_id = draft.run()?.workflow_id;
    let (compensation, broken) = match answer.compensation {
        Plan::Nothing => (None, None),
        Plan::Resolved(planned) => (Some(planned), None),
        Plan::Broken { reason } => (None, Some(reason)),
    };
    draft.push(WorkflowEvent::StepSucceeded(StepSucceeded {
        workflow_id,
        step: answer.step.clone(),
        output: answer.output,
        skipped: false,
        compensation,
    }));
    // A run that could not undo what it did must not do more.
    if let Some(reason) = broken {
        draft.push(WorkflowEvent::Parked(WorkflowParked {
            workflow_id,
            step: answer.step,
            reason: format!("its compensation cannot be resolved: {reason}"),
        }));
        return Ok(());
    }
    if late {
        return unwind(draft, answer.now);
    }
    follow(draft, answer.next, answer.now)
}

fn fail_step(draft: &mut Draft, answer: FailStep) -> Result<(), WorkflowRejection> {
    let step = asked(draft.run()?, answer.request, &answer.step)?;
    if step.running_until().is_none() {
        return Ok(());
    }
    let workflow_id = draft.run()?.workflow_id;
    draft.push(WorkflowEvent::StepFailed(StepFailed {
        workflow_id,
        step: answer.step,
        code: answer.code,
        reason: answer.reason,
        cancels: None,
    }));
    unwind(draft, answer.now)
}

/// A compensation can only succeed, so success counts for whichever attempt it
/// is: a late answer to the first undoes the step as well as one to the last.
fn succeed_compensation(
    draft: &mut Draft,
    request: RequestId,
    step: &str,
    now: Timestamp,
) -> Result<(), WorkflowRejection> {
    let run = draft.run()?;
    if answered(run, request, step)? == Answered::Settled {
        return Ok(());
    }
    let workflow_id = run.workflow_id;
    draft.push(WorkflowEvent::StepCompensated(StepCompensated {
        workflow_id,
        step: step.to_owned(),
    }));
    unwind(draft, now)
}

fn tick(draft: &mut Draft, now: Timestamp, attempts: u32) -> Result<(), WorkflowRejection> {
    let run = draft.run()?;
    let workflow_id = run.workflow_id;
    let overdue = |until: Option<Timestamp>| until.is_some_and(|deadline| deadline <= now);
    let step = run
        .steps
        .iter()
        .find(|(_, step)| overdue(step.running_until()))
        .map(|(name, step)| (name.clone(), step.call.clone()));
    let undo = run
        .steps
        .iter()
        .find(|(_, step)| overdue(step.undoing_until()))
        .map(|(name, _)| name.clone());
    if let Some((name, call)) = step {
        draft.push(WorkflowEvent::StepFailed(StepFailed {
            workflow_id,
            step: name,
            code: "deadline".to_owned(),
            reason: "no answer before the deadline".to_owned(),
            cancels: call,
        }));
        unwind(draft, now)?;
    }
    if let Some(name) = undo {
        retry_or_park(draft, &name, "no answer before the deadline", now, attempts)?;
    }
    Ok(())
}

/// Goes on to what comes next.
fn follow(draft: &mut Draft, next: Next, now: Timestamp) -> Result<(), WorkflowRejection> {
    let workflow_id = draft.run()?.workflow_id;
    for step in next.skipped {
        known(draft.run()?, &step)?;
        draft.push(WorkflowEvent::StepSucceeded(StepSucceeded {
            workflow_id,
            step,
            output: Json::from_text("null"),
            skipped: true,
            compensation: None,
        }));
    }
    match next.then {
        Then::Start { step, call } => {
            let run = draft.run()?;
            let started = StepStarted {
                workflow_id,
                deadline: now.plus_millis(millis(known(run, &step)?.deadline_ms)),
                step,
                call,
                space: run.trigger.space.clone(),
                subject: run.trigger.subject.clone(),
            };
            draft.push(WorkflowEvent::StepStarted(started));
        }
        Then::Broken { step, reason } => {
            known(draft.run()?, &step)?;
            draft.push(WorkflowEvent::StepFailed(StepFailed {
                workflow_id,
                step,
                code: "mapping".to_owned(),
                reason,
                cancels: None,
            }));
            unwind(draft, now)?;
        }
        Then::End => draft.push(WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id })),
    }
    Ok(())
}

pub(crate) fn millis(duration_ms: u64) -> i64 {
    i64::try_from(duration_ms).unwrap_or(i64::MAX)
}

fn known<'a>(run: &'a Run, step: &str) -> Result<&'a Step, WorkflowRejection> {
    run.step_definition(step)
        .ok_or_else(|| WorkflowRejection::UnknownStep {
            step: step.to_owned(),
        })
}

/// The step, if it is the one that asked under this id.
fn asked<'a>(
    run: &'a Run,
    request: RequestId,
    name: &str,
) -> Result<&'a StepState, WorkflowRejection> {
    known(run, name)?;
    let ask = Ask {
        workflow_id: run.workflow_id,
        step: name,
        compensation: None,
    };
    run.steps
        .get(name)
        .filter(|step| {
            step.call
                .as_ref()
                .is_some_and(|call| ask.id(call) == request)
        })
        .ok_or_else(|| WorkflowRejection::NotAsked {
            step: name.to_owned(),
        })
}
