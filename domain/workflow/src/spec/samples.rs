//! A workflow of three steps, and short names for what happens to it.

use std::collections::BTreeMap;

use domain_effect::Operation;
use domain_kernel::spec::Spec;
use domain_kernel::{ContextId, Decider, Json, Space, Timestamp, WorkflowId};

use crate::request::Ask;
use crate::*;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000);
pub(super) const ATTEMPTS: u32 = 2;

pub(super) fn workflow_id() -> WorkflowId {
    WorkflowId::derive(&["w"])
}

pub(super) fn agent_call(tool: &str) -> Call {
    Call::Agent(AgentCall {
        id: "chatgpt-customer-support".to_owned(),
        tool: tool.to_owned(),
        arguments: BTreeMap::new(),
    })
}

pub(super) fn effect_call(object: &str) -> Call {
    Call::Effect(EffectCall {
        connector: "crm".to_owned(),
        operation: Operation::Upsert,
        object: object.to_owned(),
        id_property: "agentmesh_id".to_owned(),
        external_id: Expression("'T-1'".to_owned()),
        properties: BTreeMap::new(),
    })
}

pub(super) fn step(name: &str, call: Call, deadline_ms: u64) -> Step {
    Step {
        name: name.to_owned(),
        when: None,
        call: call.clone(),
        deadline_ms,
        compensate: Some(Compensation {
            call,
            deadline_ms: 50,
        }),
    }
}

/// `triage` asks an agent, `crm` and `notify` write; each can be undone.
pub(super) fn definition() -> Definition {
    Definition {
        name: "support-ticket".to_owned(),
        trigger: Trigger {
            kind: "support.ticket.created".to_owned(),
            space: Space::new("support"),
            when: None,
        },
        steps: vec![
            step("triage", agent_call("handle_ticket"), 100),
            step("crm", effect_call("tickets"), 200),
            step("notify", effect_call("notes"), 300),
        ],
    }
}

pub(super) fn resolved(name: &str) -> ResolvedCall {
    let json = Json::from_text("{}");
    match name {
        "triage" | "undo triage" => ResolvedCall::Agent {
            agent_id: "chatgpt-customer-support".to_owned(),
            tool: name.to_owned(),
            arguments: json,
        },
        _ => ResolvedCall::Effect {
            connector_id: "crm".to_owned(),
            operation: Operation::Upsert,
            object: name.to_owned(),
            id_property: "agentmesh_id".to_owned(),
            external_id: "T-1".to_owned(),
            properties: json,
        },
    }
}

pub(super) fn planned(name: &str) -> PlannedCompensation {
    PlannedCompensation {
        call: resolved(&format!("undo {name}")),
        deadline_ms: 50,
    }
}

pub(super) fn trigger() -> TriggeredBy {
    TriggeredBy {
        context_id: ContextId::derive(&["c"]),
        kind: "support.ticket.created".to_owned(),
        space: Space::new("support"),
        subject: "ada@example.com".to_owned(),
        content: Json::from_text("{}"),
    }
}

pub(super) fn to(name: &str) -> Next {
    Next {
        skipped: Vec::new(),
        then: Then::Start {
            step: name.to_owned(),
            call: resolved(name),
        },
    }
}

pub(super) fn end() -> Next {
    Next {
        skipped: Vec::new(),
        then: Then::End,
    }
}

pub(super) fn start(next: Next) -> WorkflowCommand {
    WorkflowCommand::Start(Start {
        workflow_id: workflow_id(),
        definition_id: "support-ticket".to_owned(),
        definition_digest: "sha256:00".to_owned(),
        definition: definition(),
        trigger: trigger(),
        next,
        now: NOW,
    })
}

pub(super) fn asked(name: &str, compensation: Option<u32>) -> RequestId {
    let call = match compensation {
        None => resolved(name),
        Some(_) => planned(name).call,
    };
    let ask = Ask {
        workflow_id: workflow_id(),
        step: name,
        compensation,
    };
    ask.id(&call)
}

pub(super) fn succeed_with(name: &str, compensation: Plan, next: Next) -> WorkflowCommand {
    WorkflowCommand::SucceedStep(SucceedStep {
        request: asked(name, None),
        step: name.to_owned(),
        output: Json::from_text(r#"{"ok":true}"#),
        compensation,
        next,
        now: NOW,
    })
}

pub(super) fn succeed(name: &str, next: Next) -> WorkflowCommand {
    succeed_with(name, Plan::Resolved(planned(name)), next)
}

pub(super) fn fail(name: &str) -> WorkflowCommand {
    WorkflowCommand::FailStep(FailStep {
        request: asked(name, None),
        step: name.to_owned(),
        code: "rejected".to_owned(),
        reason: "no".to_owned(),
        now: NOW,
    })
}

pub(super) fn undone(name: &str, attempt: u32) -> WorkflowCommand {
    WorkflowCommand::SucceedCompensation {
        request: asked(name, Some(attempt)),
        step: name.to_owned(),
        now: NOW,
    }
}

pub(super) fn not_undone(name: &str, attempt: u32) -> WorkflowCommand {
    WorkflowCommand::FailCompensation {
        request: asked(name, Some(attempt)),
        step: name.to_owned(),
        reason: "down".to_owned(),
        now: NOW,
        attempts: ATTEMPTS,
    }
}

pub(super) fn tick(after_ms: i64) -> WorkflowCommand {
    WorkflowCommand::Tick {
        now: NOW.plus_millis(after_ms),
        attempts: ATTEMPTS,
    }
}

pub(super) fn step_started(name: &str, deadline_ms: i64) -> WorkflowEvent {
    WorkflowEvent::StepStarted(StepStarted {
        workflow_id: workflow_id(),
        step: name.to_owned(),
        call: resolved(name),
        space: Space::new("support"),
        subject: "ada@example.com".to_owned(),
        deadline: NOW.plus_millis(deadline_ms),
    })
}

pub(super) fn step_succeeded(name: &str) -> WorkflowEvent {
    WorkflowEvent::StepSucceeded(StepSucceeded {
        workflow_id: workflow_id(),
        step: name.to_owned(),
        output: Json::from_text(r#"{"ok":true}"#),
        skipped: false,
        compensation: Some(planned(name)),
    })
}

pub(super) fn step_failed(name: &str, code: &str, reason: &str, cancels: bool) -> WorkflowEvent {
    WorkflowEvent::StepFailed(StepFailed {
        workflow_id: workflow_id(),
        step: name.to_owned(),
        code: code.to_owned(),
        reason: reason.to_owned(),
        cancels: cancels.then(|| resolved(name)),
    })
}

pub(super) fn undoing(name: &str, attempt: u32, from_ms: i64) -> WorkflowEvent {
    WorkflowEvent::CompensationStarted(CompensationStarted {
        workflow_id: workflow_id(),
        step: name.to_owned(),
        call: planned(name).call,
        space: Space::new("support"),
        subject: "ada@example.com".to_owned(),
        attempt,
        deadline: NOW.plus_millis(from_ms + 50),
    })
}

pub(super) fn step_undone(name: &str) -> WorkflowEvent {
    WorkflowEvent::StepCompensated(StepCompensated {
        workflow_id: workflow_id(),
        step: name.to_owned(),
    })
}

pub(super) fn ended_undone(failed_step: &str, reason: &str) -> WorkflowEvent {
    WorkflowEvent::Compensated(WorkflowCompensated {
        workflow_id: workflow_id(),
        failed_step: failed_step.to_owned(),
        reason: reason.to_owned(),
    })
}

pub(super) fn parked(name: &str, reason: &str) -> WorkflowEvent {
    WorkflowEvent::Parked(WorkflowParked {
        workflow_id: workflow_id(),
        step: name.to_owned(),
        reason: reason.to_owned(),
    })
}

pub(super) fn history(commands: impl IntoIterator<Item = WorkflowCommand>) -> Vec<WorkflowEvent> {
    let mut state = WorkflowState::default();
    let mut events = Vec::new();
    for command in commands {
        for event in WorkflowDecider::decide(&state, command).unwrap() {
            state = WorkflowDecider::evolve(state, &event);
            events.push(event);
        }
    }
    events
}

pub(super) fn given(commands: impl IntoIterator<Item = WorkflowCommand>) -> Spec<WorkflowDecider> {
    Spec::given(history(commands))
}

pub(super) fn state(commands: impl IntoIterator<Item = WorkflowCommand>) -> WorkflowState {
    history(commands)
        .iter()
        .fold(WorkflowState::default(), WorkflowDecider::evolve)
}

pub(super) fn run_to_notify() -> Vec<WorkflowCommand> {
    vec![
        start(to("triage")),
        succeed("triage", to("crm")),
        succeed("crm", to("notify")),
    ]
}

pub(super) fn with(
    mut commands: Vec<WorkflowCommand>,
    more: &[WorkflowCommand],
) -> Vec<WorkflowCommand> {
    commands.extend_from_slice(more);
    commands
}
