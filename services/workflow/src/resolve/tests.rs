use domain_kernel::{ContextId, Space, WorkflowId};
use domain_workflow::{TriggeredBy, WorkflowEvent, WorkflowStarted, WorkflowState};
use serde_json::json;

use super::*;

/// As the registry keeps it: the JSON of the author's YAML.
fn definition() -> Definition {
    serde_json::from_value(json!({
        "name": "support-ticket",
        "trigger": {"kind": "support.ticket.created", "space": "support",
                    "when": "trigger.content.amount > 0"},
        "steps": [
            {"name": "triage",
             "agent": {"id": "chatgpt-customer-support", "tool": "handle_ticket",
                       "arguments": {"ticket": "trigger.content"}},
             "deadline_ms": 30000,
             "compensate": {
                "agent": {"id": "chatgpt-customer-support", "tool": "retract_reply",
                          "arguments": {"reply": "steps.triage.output.reply"}},
                "deadline_ms": 10000}},
            {"name": "page", "when": "steps.triage.output.escalate",
             "agent": {"id": "copilot-enterprise", "tool": "summarise_employee_request"},
             "deadline_ms": 1000},
            {"name": "crm",
             "effect": {"connector": "crm", "operation": "upsert", "object": "tickets",
                        "id_property": "agentmesh_id", "external_id": "trigger.content.ticket_id",
                        "properties": {
                            "subject": "trigger.content.subject",
                            "hs_ticket_priority": "steps.triage.output.priority.upperAscii()",
                            "paged": "steps.page.skipped ? 'no' : 'yes'"}},
             "deadline_ms": 30000},
        ],
    }))
    .unwrap()
}

fn trigger(content: &Value) -> TriggeredBy {
    TriggeredBy {
        context_id: ContextId::derive(&["c"]),
        kind: "support.ticket.created".to_owned(),
        space: Space::new("support"),
        subject: "ada@example.com".to_owned(),
        content: Json::from_text(content.to_string()),
    }
}

fn scope(content: &Value) -> Scope {
    Scope::new(WorkflowId::derive(&["w"]), &trigger(content))
}

fn ticket() -> Value {
    json!({"ticket_id": "T-1", "subject": "Refund", "amount": 129.9})
}

fn after_triage(escalate: bool) -> Scope {
    let mut scope = scope(&ticket());
    let output = json!({"priority": "high", "reply": "Dear Ada", "escalate": escalate});
    scope.add_step("triage", output, false);
    scope
}

#[test]
fn a_definition_is_sound_and_all_its_expressions_compile() {
    let definition = definition();
    assert_eq!(definition.check(), Ok(()));
    for (at, expression) in definition.expressions() {
        assert!(Expressions::default().get(expression).is_ok(), "{at}");
    }
    let text = serde_json::to_string(&definition).unwrap();
    assert_eq!(
        serde_json::from_str::<Definition>(&text).unwrap(),
        definition
    );
}

#[test]
fn unknown_members_of_a_definition_are_refused() {
    let mut unknown = serde_json::to_value(definition()).unwrap();
    unknown["steps"][0]["retries"] = json!(3);
    assert!(serde_json::from_value::<Definition>(unknown).is_err());
    let mut both = serde_json::to_value(definition()).unwrap();
    both["steps"][0]["effect"] = both["steps"][2]["effect"].clone();
    assert!(serde_json::from_value::<Definition>(both).is_err());
}

#[test]
fn the_trigger_decides_on_the_content() {
    let resolver = Resolver::default();
    let definition = definition();
    assert_eq!(
        resolver.is_triggered(&definition, &scope(&ticket())),
        Ok(true)
    );
    assert_eq!(
        resolver.is_triggered(&definition, &scope(&json!({"amount": 0}))),
        Ok(false)
    );
    let missing = resolver.is_triggered(&definition, &scope(&json!({})));
    assert!(missing.unwrap_err().contains("amount"));
}

#[test]
fn the_first_step_gets_the_trigger_as_its_argument() {
    let next = Resolver::default().next(&definition().steps, scope(&ticket()));
    let Then::Start {
        step,
        call: ResolvedCall::Agent {
            tool, arguments, ..
        },
    } = next.then
    else {
        panic!("{next:?}");
    };
    assert_eq!((step.as_str(), tool.as_str()), ("triage", "handle_ticket"));
    let arguments: Value = serde_json::from_str(arguments.as_str()).unwrap();
    assert_eq!(arguments, json!({"ticket": ticket()}));
}

#[test]
fn a_step_that_is_not_wanted_is_skipped_and_seen_as_such() {
    let definition = definition();
    let next = Resolver::default().next(after(&definition, "triage"), after_triage(false));
    assert_eq!(next.skipped, ["page"]);
    let Then::Start {
        call:
            ResolvedCall::Effect {
                external_id,
                properties,
                ..
            },
        ..
    } = next.then
    else {
        panic!("{next:?}");
    };
    assert_eq!(external_id, "T-1");
    assert_eq!(
        properties.as_str(),
        r#"{"hs_ticket_priority":"HIGH","paged":"no","subject":"Refund"}"#
    );
    let wanted = Resolver::default().next(after(&definition, "triage"), after_triage(true));
    assert!(matches!(wanted.then, Then::Start { step, .. } if step == "page"));
}

#[test]
fn what_cannot_be_evaluated_breaks_its_step_and_says_why() {
    let definition = definition();
    let resolver = Resolver::default();
    let mut without_id = after_triage(false);
    let content = json!({"subject": "x", "ticket_id": "  "});
    let mut odd = scope(&content);
    odd.add_step(
        "triage",
        json!({"priority": "low", "escalate": false}),
        false,
    );
    let next = resolver.next(after(&definition, "triage"), odd);
    assert!(
        matches!(&next.then, Then::Broken { step, reason } if step == "crm" && reason.starts_with("external_id")),
        "{next:?}"
    );
    without_id.add_step("triage", json!({"escalate": "maybe"}), false);
    let next = resolver.next(after(&definition, "triage"), without_id);
    assert!(
        matches!(&next.then, Then::Broken { step, reason } if step == "page" && reason.starts_with("its condition")),
        "{next:?}"
    );
}

#[test]
fn a_compensation_is_resolved_with_the_output_of_its_step() {
    let definition = definition();
    let resolver = Resolver::default();
    let Plan::Resolved(planned) = resolver.plan(&definition.steps[0], &after_triage(false)) else {
        panic!("no plan");
    };
    assert_eq!(planned.deadline_ms, 10_000);
    assert!(matches!(planned.call, ResolvedCall::Agent { arguments, .. }
        if arguments.as_str() == r#"{"reply":"Dear Ada"}"#));
    assert_eq!(
        resolver.plan(&definition.steps[1], &after_triage(false)),
        Plan::Nothing
    );
    let broken = resolver.plan(&definition.steps[0], &scope(&ticket()));
    assert!(matches!(broken, Plan::Broken { .. }));
}

#[test]
fn the_end_comes_after_the_last_step() {
    let next = Resolver::default().next(after(&definition(), "crm"), after_triage(false));
    assert_eq!(next.then, Then::End);
    assert!(after(&definition(), "nobody").is_empty());
}

#[test]
fn a_state_survives_being_stored() {
    use domain_kernel::Decider;
    let started = WorkflowEvent::Started(WorkflowStarted {
        workflow_id: WorkflowId::derive(&["w"]),
        definition_id: "support-ticket".to_owned(),
        definition_digest: "sha256:00".to_owned(),
        definition: definition(),
        trigger: trigger(&ticket()),
    });
    let state = domain_workflow::WorkflowDecider::evolve(WorkflowState::default(), &started);
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<WorkflowState>(&text).unwrap(), state);
}
