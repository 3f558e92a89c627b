use domain_kernel::spec::Spec;
use domain_kernel::{ContextId, Decider, ExecutionId, Json, Space, Timestamp, WorkflowId};

use crate::{
    Action, ExecutionCommand, ExecutionDecider, ExecutionEvent, ExecutionFailed,
    ExecutionRejection, ExecutionRequested, ExecutionStarted, ExecutionSucceeded,
};

fn command(action: Action) -> ExecutionCommand {
    ExecutionCommand {
        request: ExecutionRequested {
            execution_id: ExecutionId::derive(&["x"]),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            compensation: false,
            agent_id: "chatgpt-customer-support".to_owned(),
            tool: "handle_ticket".to_owned(),
            arguments: Json::from_text("{}"),
            space: Space::new("support"),
            subject: "ada@example.com".to_owned(),
            deadline: Timestamp::from_millis(1),
        },
        action,
    }
}

fn start(attempt: u32) -> ExecutionCommand {
    command(Action::Start {
        attempt,
        shown: vec![ContextId::derive(&["c"])],
        arguments_sha256: "00".to_owned(),
    })
}

fn succeed() -> ExecutionCommand {
    command(Action::Succeed {
        output: Json::from_text(r#"{"category":"billing"}"#),
        model: "offline-rules-1".to_owned(),
        duration_ms: 3,
    })
}

fn fail() -> ExecutionCommand {
    command(Action::Fail {
        code: "tool-error".to_owned(),
        reason: "no ticket".to_owned(),
        duration_ms: 4,
    })
}

/// The events of following `commands` one after the other.
fn history(commands: impl IntoIterator<Item = ExecutionCommand>) -> Vec<ExecutionEvent> {
    let mut state = Default::default();
    let mut events = Vec::new();
    for command in commands {
        for event in ExecutionDecider::decide(&state, command).unwrap() {
            state = ExecutionDecider::evolve(state, &event);
            events.push(event);
        }
    }
    events
}

fn given(commands: impl IntoIterator<Item = ExecutionCommand>) -> Spec<ExecutionDecider> {
    Spec::given(history(commands))
}

#[test]
fn a_call_is_on_record_before_it_is_made() {
    given([])
        .when(start(1))
        .then([ExecutionEvent::Started(ExecutionStarted {
            execution_id: ExecutionId::derive(&["x"]),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            agent_id: "chatgpt-customer-support".to_owned(),
            tool: "handle_ticket".to_owned(),
            shown: vec![ContextId::derive(&["c"])],
            arguments_sha256: "00".to_owned(),
            attempt: 1,
        })]);
}

#[test]
fn an_answer_follows_a_call() {
    given([start(1)])
        .when(succeed())
        .then([ExecutionEvent::Succeeded(ExecutionSucceeded {
            execution_id: ExecutionId::derive(&["x"]),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            compensation: false,
            agent_id: "chatgpt-customer-support".to_owned(),
            output: Json::from_text(r#"{"category":"billing"}"#),
            model: "offline-rules-1".to_owned(),
            duration_ms: 3,
        })]);
    given([])
        .when(succeed())
        .then_rejected(ExecutionRejection::NotStarted);
}

#[test]
fn what_cannot_be_called_fails_without_a_call() {
    given([])
        .when(fail())
        .then([ExecutionEvent::Failed(ExecutionFailed {
            execution_id: ExecutionId::derive(&["x"]),
            workflow_id: WorkflowId::derive(&["w"]),
            step: "triage".to_owned(),
            compensation: false,
            agent_id: "chatgpt-customer-support".to_owned(),
            code: "tool-error".to_owned(),
            reason: "no ticket".to_owned(),
            duration_ms: 4,
        })]);
}

#[test]
fn a_call_without_an_answer_is_repeated_and_counted() {
    assert_eq!(history([start(1), start(2)]).len(), 2);
    given([start(1)])
        .when(start(3))
        .then_rejected(ExecutionRejection::AttemptOutOfOrder {
            attempt: 3,
            last: 1,
        });
    given([])
        .when(start(0))
        .then_rejected(ExecutionRejection::AttemptOutOfOrder {
            attempt: 0,
            last: 0,
        });
}

#[test]
fn nothing_follows_an_answer() {
    given([start(1), succeed()])
        .when(fail())
        .then_rejected(ExecutionRejection::Ended {
            outcome: "succeeded",
        });
    given([start(1), fail()])
        .when(succeed())
        .then_rejected(ExecutionRejection::Ended { outcome: "failed" });
    given([start(1), succeed()])
        .when(start(2))
        .then_rejected(ExecutionRejection::Ended {
            outcome: "succeeded",
        });
}

#[test]
fn every_command_is_idempotent() {
    given([]).when(start(1)).then_idempotent(start(1));
    given([start(1)]).when(start(2)).then_idempotent(start(2));
    given([start(1)]).when(succeed()).then_idempotent(succeed());
    given([start(1)]).when(fail()).then_idempotent(fail());
    given([]).when(fail()).then_idempotent(fail());
}
