#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_kernel::{ContextId, Json, Recorded, Space, Timestamp, WorkflowId};
use domain_workflow::{
    AgentCall, Call, CompensationStarted, Definition, ResolvedCall, Step, StepCompensated,
    StepFailed, StepStarted, StepSucceeded, Trigger, TriggeredBy, WorkflowCompensated,
    WorkflowEvent, WorkflowStarted, WorkflowSucceeded,
};
use projections_workflows::{WorkflowsProjection, by_correlation, by_id};
use schemas::Workflows;
use testing::{MANY, Mesh, again, correlation, recorded};

fn id(name: &str) -> WorkflowId {
    WorkflowId::derive(&[name])
}

fn call() -> ResolvedCall {
    ResolvedCall::Agent {
        agent_id: "support".to_owned(),
        tool: "handle_ticket".to_owned(),
        arguments: Json::from_text("{}"),
    }
}

fn started(name: &str) -> WorkflowEvent {
    let step = |name: &str| Step {
        name: name.to_owned(),
        when: None,
        call: Call::Agent(AgentCall {
            id: "support".to_owned(),
            tool: "handle_ticket".to_owned(),
            arguments: [].into(),
        }),
        deadline_ms: 1_000,
        compensate: None,
    };
    WorkflowEvent::Started(WorkflowStarted {
        workflow_id: id(name),
        definition_id: "support-ticket".to_owned(),
        definition_digest: "sha256:00".to_owned(),
        definition: Definition {
            name: "support-ticket".to_owned(),
            trigger: Trigger {
                kind: "support.ticket.created".to_owned(),
                space: Space::new("support"),
                when: None,
            },
            steps: vec![step("triage"), step("crm")],
        },
        trigger: TriggeredBy {
            context_id: ContextId::derive(&["c"]),
            kind: "support.ticket.created".to_owned(),
            space: Space::new("support"),
            subject: "ada".to_owned(),
            content: Json::from_text("{}"),
        },
    })
}

fn step_started(name: &str, step: &str) -> WorkflowEvent {
    WorkflowEvent::StepStarted(StepStarted {
        workflow_id: id(name),
        step: step.to_owned(),
        call: call(),
        space: Space::new("support"),
        subject: "ada".to_owned(),
        deadline: Timestamp::from_millis(1),
    })
}

fn step_succeeded(name: &str, step: &str) -> WorkflowEvent {
    WorkflowEvent::StepSucceeded(StepSucceeded {
        workflow_id: id(name),
        step: step.to_owned(),
        output: Json::from_text(r#"{"ok":true}"#),
        skipped: false,
        compensation: None,
    })
}

fn step_failed(name: &str, reason: &str) -> WorkflowEvent {
    WorkflowEvent::StepFailed(StepFailed {
        workflow_id: id(name),
        step: "crm".to_owned(),
        code: "rejected".to_owned(),
        reason: reason.to_owned(),
        cancels: None,
    })
}

fn stream(name: &str, events: Vec<WorkflowEvent>) -> Vec<Recorded<WorkflowEvent>> {
    (1..)
        .zip(events)
        .map(|(version, event)| recorded(name, version, event))
        .collect()
}

fn compensated() -> Vec<Recorded<WorkflowEvent>> {
    let name = "compensated";
    let mut events = vec![
        started(name),
        step_started(name, "triage"),
        step_succeeded(name, "triage"),
        step_started(name, "crm"),
        step_failed(name, "400"),
    ];
    events.push(WorkflowEvent::CompensationStarted(CompensationStarted {
        workflow_id: id(name),
        step: "triage".to_owned(),
        call: call(),
        space: Space::new("support"),
        subject: "ada".to_owned(),
        attempt: 1,
        deadline: Timestamp::from_millis(1),
    }));
    events.push(WorkflowEvent::StepCompensated(StepCompensated {
        workflow_id: id(name),
        step: "triage".to_owned(),
    }));
    events.push(WorkflowEvent::Compensated(WorkflowCompensated {
        workflow_id: id(name),
        failed_step: "crm".to_owned(),
        reason: "400".to_owned(),
    }));
    stream(name, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_steps_stand_as_their_streams_left_them() {
    let mesh = Mesh::new("workflows").await;
    let mut events = compensated();
    events.extend(stream(
        "succeeded",
        vec![
            started("succeeded"),
            step_started("succeeded", "triage"),
            step_succeeded("succeeded", "triage"),
            step_started("succeeded", "crm"),
            step_succeeded("succeeded", "crm"),
            WorkflowEvent::Succeeded(WorkflowSucceeded {
                workflow_id: id("succeeded"),
            }),
        ],
    ));
    let records = events.iter().map(|event| mesh.record::<Workflows>(event));
    let records = records.collect();
    // An owner that was superseded saw the step fail for another reason.
    let zombie = recorded("compensated", 5, step_failed("compensated", "zombie"));
    let repeats = events.iter().map(again).chain([zombie]);
    let repeats = repeats.map(|event| mesh.record::<Workflows>(&event));
    let repeats = repeats.collect();
    mesh.laws(WorkflowsProjection::new, records, repeats).await;

    let run = by_id(&mesh.pool, id("compensated")).await.unwrap().unwrap();
    assert_eq!((run.status.as_str(), run.version), ("compensated", 8));
    assert_eq!(run.failed_step.as_deref(), Some("crm"));
    assert_eq!(run.context_id, Some(ContextId::derive(&["c"])));
    let steps: Vec<_> = run
        .steps
        .iter()
        .map(|step| (step.step.as_str(), step.status.as_str()))
        .collect();
    assert_eq!(steps, [("triage", "compensated"), ("crm", "failed")]);
    assert_eq!(
        run.steps[0].target.as_deref(),
        Some("support/handle_ticket")
    );
    assert_eq!(run.steps[0].attempts, Some(1));
    assert_eq!(run.steps[1].reason.as_deref(), Some("400"));
    let runs = by_correlation(&mesh.pool, correlation()).await.unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().any(|run| run.status == "succeeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("workflows_many").await;
    let begun = (0..MANY).flat_map(|n| {
        let name = n.to_string();
        [
            recorded(&name, 1, started(&name)),
            recorded(&name, 2, step_started(&name, "triage")),
        ]
    });
    // Of runs that are there by then, if they come a few at a time; and with a step
    // that their definition does not have.
    let gone_on = (0..MANY).flat_map(|n| {
        let name = n.to_string();
        [
            recorded(&name, 3, step_succeeded(&name, "triage")),
            recorded(&name, 4, step_started(&name, "late")),
        ]
    });
    let records = begun
        .chain(gone_on)
        .map(|event| mesh.record::<Workflows>(&event))
        .collect();
    mesh.few_or_many_give_the_same_rows(WorkflowsProjection::new, records)
        .await;
}
