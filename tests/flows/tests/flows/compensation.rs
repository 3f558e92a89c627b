use projections_audit::Entry;
use tests_kit::{Mesh, Ticket, UnhelpfulAgent, names, of_name, silent_endpoint};

use crate::shared_mesh;

/// The sample's first step.
const TRIAGE: &str = "
  - name: triage
    agent:
      id: chatgpt-customer-support
      tool: handle_ticket
      arguments:
        ticket: trigger.content
    deadline: 30s
    compensate:
      agent:
        tool: retract_reply
        arguments:
          ticket_id: trigger.content.ticket_id
          reply: steps.triage.output.reply
      deadline: 30s
";

fn agent_step(agent: &str, deadline: &str) -> String {
    format!(
        "
  - name: advise
    agent:
      id: {agent}
      tool: answer
      arguments:
        ticket: trigger.content
    deadline: {deadline}
"
    )
}

/// Registers a workflow, sends it a ticket and waits for its end.
async fn run(mesh: &Mesh, name: &str, steps: &str, end: &str) -> (Ticket, Vec<Entry>) {
    let kind = format!("support.{name}");
    let yaml = format!("name: {name}\ntrigger:\n  kind: {kind}\n  space: support\nsteps:{steps}");
    let registrar = mesh.registrar().unwrap();
    registrar.workflow(name, &yaml).await.unwrap();
    let ticket = Ticket::new(&name.to_uppercase()).of_kind(&kind);
    mesh.sender().unwrap().deliver(&ticket).await.unwrap();
    let observer = mesh.observer().await.unwrap();
    let trail = observer.recorded(ticket.correlation(), end).await.unwrap();
    (ticket, trail)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_fails_first_leaves_nothing_to_undo() {
    let mesh = shared_mesh().await;
    let endpoint = UnhelpfulAgent::serve().await.unwrap();
    let registrar = mesh.registrar().unwrap();
    registrar
        .agent("unhelpful", &endpoint, "answer")
        .await
        .unwrap();

    let steps = agent_step("unhelpful", "30s");
    let (ticket, trail) = run(&mesh, "unhelpful-first", &steps, "WorkflowCompensated").await;

    let failed = &of_name(&trail, "ExecutionFailed")[0].body;
    assert_eq!(failed["code"], "tool-error");
    let failed = of_name(&trail, "StepFailed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].body["step"], "advise");
    assert!(of_name(&trail, "CompensationStarted").is_empty());
    assert!(of_name(&trail, "EffectRequested").is_empty());
    let progress = mesh
        .sender()
        .unwrap()
        .progress(ticket.correlation())
        .await
        .unwrap();
    assert_eq!(progress["status"], "compensated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_answers_is_given_up_and_what_was_done_is_undone() {
    let mesh = shared_mesh().await;
    let endpoint = silent_endpoint().await.unwrap();
    let registrar = mesh.registrar().unwrap();
    registrar
        .agent("silent", &endpoint, "answer")
        .await
        .unwrap();

    let steps = format!("{TRIAGE}{}", agent_step("silent", "2s"));
    let (_, trail) = run(&mesh, "silent-second", &steps, "WorkflowCompensated").await;

    let failed = of_name(&trail, "StepFailed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].body["step"], "advise");
    assert_eq!(failed[0].body["code"], "deadline");
    assert_undone_once(&trail, "triage");
    let ended = &of_name(&trail, "WorkflowCompensated")[0].body;
    assert_eq!(ended["failed_step"], "advise");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_the_crm_refuses_undoes_what_the_agent_did() {
    let mesh = shared_mesh().await;
    let steps = format!(
        "{TRIAGE}
  - name: crm
    effect:
      connector: crm
      operation: upsert
      object: tickets
      id_property: agentmesh_id
      external_id: trigger.content.ticket_id
      properties:
        subject: trigger.content.subject
        no_such_property: steps.triage.output.summary
    deadline: 60s
    compensate:
      effect:
        operation: archive
      deadline: 60s
"
    );
    let (ticket, trail) = run(&mesh, "refused-write", &steps, "WorkflowCompensated").await;

    assert_eq!(of_name(&trail, "EffectFailed").len(), 1);
    assert!(of_name(&trail, "EffectConfirmed").is_empty());
    let failed = of_name(&trail, "StepFailed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].body["step"], "crm");
    assert_undone_once(&trail, "triage");
    let crm = mesh.crm().unwrap();
    assert_eq!(crm.records(&ticket.id).await.unwrap().len(), 0);
    assert_eq!(crm.writes(&ticket.id).unwrap(), 0);

    // The agent was told to take its reply back, by the log itself.
    let observer = mesh.observer().await.unwrap();
    for (topic, name, count) in [
        ("mesh.workflows", "CompensationStarted", 1),
        ("mesh.workflows", "StepCompensated", 1),
        ("mesh.executions", "ExecutionRequested", 2),
        ("mesh.results", "ExecutionSucceeded", 2),
        ("mesh.effects", "EffectRequested", 1),
    ] {
        let counted = observer
            .count(topic, ticket.correlation(), name)
            .await
            .unwrap();
        assert_eq!(counted, count, "{name}");
    }
    let id = ticket.correlation().to_string();
    let tree = mesh.run(&["trace", &id]).await.unwrap();
    for told in [
        "StepFailed",
        "CompensationStarted",
        "StepCompensated",
        "WorkflowCompensated",
    ] {
        assert!(tree.contains(told), "{tree}");
    }
    let progress = mesh
        .sender()
        .unwrap()
        .progress(ticket.correlation())
        .await
        .unwrap();
    assert_eq!(progress["status"], "compensated");
}

/// Only `step` was undone, once, and after the failure.
fn assert_undone_once(trail: &[Entry], step: &str) {
    for name in ["CompensationStarted", "StepCompensated"] {
        let found = of_name(trail, name);
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].body["step"], step);
    }
    let order = [
        "StepFailed",
        "CompensationStarted",
        "StepCompensated",
        "WorkflowCompensated",
    ];
    let mut happened = names(trail);
    happened.retain(|name| order.contains(name));
    assert_eq!(happened, order);
    let retracted = of_name(trail, "ExecutionSucceeded");
    assert_eq!(retracted.last().unwrap().body["output"]["retracted"], true);
}
