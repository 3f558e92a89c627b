use domain_workflow::{Call, Definition};
use serde_json::{Value, json};

use super::*;

const SOURCE: &str = include_str!("../../../../deploy/samples/sources/zapier.json");
const CONNECTOR: &str = include_str!("../../../../deploy/samples/connectors/crm.json");
const AGENTS: [&str; 3] = [
    include_str!("../../../../deploy/samples/agents/chatgpt-customer-support.json"),
    include_str!("../../../../deploy/samples/agents/claude-financial-analyst.json"),
    include_str!("../../../../deploy/samples/agents/copilot-enterprise.json"),
];
const POLICY: &str = include_str!("../../../../deploy/samples/policies/ingest.rego");
const WORKFLOW: &str = include_str!("../../../../deploy/samples/workflows/support-ticket.yaml");

const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with(sample: &str, changes: Value) -> Value {
    let mut value: Value = serde_json::from_str(sample).unwrap();
    for (name, change) in changes.as_object().unwrap() {
        value[name] = change.clone();
    }
    value
}

fn read_json(kind: ResourceKind, value: &Value) -> Result<Draft, Issues> {
    read(kind, Media::Json, value.to_string().as_bytes())
}

/// The pointers of what is wrong with `value`.
fn pointers(kind: ResourceKind, value: &Value) -> Vec<String> {
    match read_json(kind, value) {
        Ok(_) => Vec::new(),
        Err(issues) => issues.iter().map(|issue| issue.pointer.clone()).collect(),
    }
}

fn details(result: Result<Draft, Issues>) -> String {
    match result {
        Ok(_) => String::new(),
        Err(issues) => format!("{issues:?}"),
    }
}

fn workflow(yaml: &str) -> Result<Draft, Issues> {
    read(ResourceKind::Workflow, Media::Yaml, yaml.as_bytes())
}

fn definition(draft: &Draft) -> Definition {
    let Resource::Workflow(workflow) = &draft.resource else {
        panic!("not a workflow");
    };
    serde_json::from_str(workflow.definition.as_str()).unwrap()
}

#[test]
fn the_samples_are_valid() {
    let source = with(SOURCE, json!({"secret": WEBHOOK_SECRET}));
    assert_eq!(pointers(ResourceKind::Source, &source), [""; 0]);
    let connector = with(CONNECTOR, json!({"secret": "sandbox-token"}));
    assert_eq!(pointers(ResourceKind::Connector, &connector), [""; 0]);
    for agent in AGENTS {
        let agent = with(agent, json!({}));
        assert_eq!(pointers(ResourceKind::Agent, &agent), [""; 0]);
    }
    assert!(read(ResourceKind::Policy, Media::Text, POLICY.as_bytes()).is_ok());
    let draft = workflow(WORKFLOW)
        .map_err(|issues| format!("{issues:?}"))
        .unwrap();
    assert_eq!(draft.warnings, []);
}

#[test]
fn the_sample_workflow_reads_as_it_should() {
    let definition = definition(&workflow(WORKFLOW).ok().unwrap());
    assert_eq!(definition.trigger.kind, "support.ticket.created");
    let [triage, crm] = definition.steps.as_slice() else {
        panic!("{definition:?}");
    };
    assert_eq!(
        (triage.name.as_str(), triage.deadline_ms),
        ("triage", 30_000)
    );
    assert_eq!((crm.name.as_str(), crm.deadline_ms), ("crm", 60_000));
    // What undoes a step speaks to the same agent and of the same record.
    let Some(Call::Agent(retract)) = triage.compensate.as_ref().map(|c| &c.call) else {
        panic!("{triage:?}");
    };
    assert_eq!(
        (retract.id.as_str(), retract.tool.as_str()),
        ("chatgpt-customer-support", "retract_reply")
    );
    let Some(Call::Effect(archive)) = crm.compensate.as_ref().map(|c| &c.call) else {
        panic!("{crm:?}");
    };
    let Call::Effect(upsert) = &crm.call else {
        panic!("{crm:?}");
    };
    assert_eq!(archive.operation, domain_effect::Operation::Archive);
    assert_eq!(archive.external_id, upsert.external_id);
    assert_eq!(archive.connector, "crm");
    assert!(archive.properties.is_empty());
}

#[test]
fn the_same_workflow_has_the_same_digest() {
    let digest = |yaml: &str| match workflow(yaml).ok().unwrap().resource {
        Resource::Workflow(workflow) => workflow.digest,
        _ => panic!("not a workflow"),
    };
    let commented = format!("# A remark.\n{WORKFLOW}");
    assert_eq!(digest(WORKFLOW), digest(&commented));
    assert_ne!(digest(WORKFLOW), digest(&WORKFLOW.replace("30s", "31s")));
}

#[test]
fn a_wrong_workflow_names_every_field() {
    let yaml = r#"
name: Wrong
trigger: { kind: k, space: Not A Name, colour: red, when: trigger. }
steps:
  - name: Not-A-Name
    agent: { id: a, tool: t, arguments: { x: nowhere.y } }
    deadline: soon
  - name: two
    agent: { id: a }
    effect: { connector: c }
    deadline: 1s
  - name: two
    effect: { connector: c, operation: explode, object: o, id_property: p, external_id: trigger.id, properties: { a: [1] } }
    deadline: 1s
    compensate: { effect: { operation: archive, properties: { a: "1" } }, deadline: 1s }
"#;
    let issues = workflow(yaml).err().unwrap();
    let pointers: Vec<_> = issues.iter().map(|issue| issue.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/trigger/space",
            "/trigger/when",
            "/trigger/colour",
            "/steps/0/name",
            "/steps/0/agent/arguments/x",
            "/steps/0/deadline",
            "/steps/1/agent",
            "/steps/2/effect/operation",
            "/steps/2/effect/properties/a",
            "/steps/2/compensate/effect/properties",
            "/steps/2/name",
        ]
    );
}

#[test]
fn yaml_is_read_strictly() {
    assert!(details(workflow("name: [")).contains("is not YAML"));
    assert!(details(workflow("name: a\nname: b\n")).contains("is not YAML"));
    assert!(details(workflow("- a\n- b\n")).contains("must be an object"));
    assert!(details(workflow("")).contains("/yaml") || details(workflow("")).contains("yaml"));
    // Aliases that multiply are refused before they fill the memory.
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = level - 1;
        let aliases = vec![format!("*a{below}"); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(details(workflow(&bomb)).contains("is not YAML"));
}

#[test]
fn a_step_that_has_not_run_is_a_warning() {
    let yaml = WORKFLOW.replace("ticket: trigger.content", "ticket: steps.crm.output");
    let draft = workflow(&yaml).ok().unwrap();
    let pointers: Vec<_> = draft.warnings.iter().map(|w| w.pointer.as_str()).collect();
    assert_eq!(pointers, ["/steps/0/agent/arguments/ticket"]);
}

#[test]
fn sources_are_checked() {
    let wrong = with(
        SOURCE,
        json!({
            "space": "Support",
            "scheme": "carrier-pigeon",
            "secrets": [{"id": "a", "secret": "short"}, {"id": "a", "secret": "long enough", "valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"}, {"id": "b", "valid_from": "yesterday"}],
            "event_type": "x",
            "event_type_pointer": "event_type",
            "text_pointers": ["/a", "b"],
            "note": "hello",
        }),
    );
    assert_eq!(
        pointers(ResourceKind::Source, &wrong),
        [
            "/space",
            "/scheme",
            "/secrets/0/secret",
            "/secrets/1/valid_until",
            "/secrets/1/id",
            "/secrets/2/valid_from",
            "/event_type_pointer",
            "/event_type",
            "/text_pointers/1",
            "/note",
        ]
    );
    assert_eq!(
        pointers(ResourceKind::Source, &with(SOURCE, json!({}))),
        ["/secrets"]
    );
    let weak = with(SOURCE, json!({"secret": "not-a-webhook-secret"}));
    assert_eq!(pointers(ResourceKind::Source, &weak), ["/secret"]);
}

#[test]
fn connectors_and_agents_are_checked() {
    let wrong = with(
        CONNECTOR,
        json!({"system": "sap", "base_url": "ftp://x", "timeout_ms": 1, "max_attempts": 99}),
    );
    assert_eq!(
        pointers(ResourceKind::Connector, &wrong),
        [
            "/system",
            "/base_url",
            "/credential",
            "/timeout_ms",
            "/max_attempts"
        ]
    );
    let wrong = json!({"endpoint": "http://u:p@x/mcp", "tools": ["a", "a", "b c"]});
    assert_eq!(
        pointers(ResourceKind::Agent, &wrong),
        ["/name", "/endpoint", "/tools/1", "/tools/2"]
    );
    assert_eq!(
        pointers(ResourceKind::Agent, &json!([])),
        ["", "/name", "/endpoint", "/tools"]
    );
}

#[test]
fn subscriptions_are_checked() {
    let good = json!({"space": "support", "context_kind": "k", "target": {"type": "topic"}});
    assert_eq!(pointers(ResourceKind::Subscription, &good), [""; 0]);
    let good = json!({"space": "support", "context_kind": "k", "target": {"type": "workflow", "workflow": "w"}});
    assert_eq!(pointers(ResourceKind::Subscription, &good), [""; 0]);
    for (target, pointer) in [
        (json!({"type": "pigeon"}), "/target/type"),
        (json!({"type": "workflow"}), "/target/workflow"),
        (
            json!({"type": "topic", "workflow": "w"}),
            "/target/workflow",
        ),
        (json!({}), "/target/type"),
        (json!("topic"), "/target"),
    ] {
        let wrong = json!({"space": "support", "context_kind": "k", "target": target});
        assert!(
            pointers(ResourceKind::Subscription, &wrong).contains(&pointer.to_owned()),
            "{wrong}"
        );
    }
}

#[test]
fn policies_are_checked() {
    let wrong = json!({"modules": {"a.txt": "package a", "b.rego": 7}, "data": []});
    assert_eq!(
        pointers(ResourceKind::Policy, &wrong),
        ["/modules/a.txt", "/modules/b.rego", "/data"]
    );
    assert_eq!(pointers(ResourceKind::Policy, &json!({})), ["/modules"]);
}

#[test]
fn secrets_are_never_shown() {
    let source = with(SOURCE, json!({"secret": WEBHOOK_SECRET}));
    let draft = read_json(ResourceKind::Source, &source).ok().unwrap();
    let shown = show(&draft.resource);
    assert_eq!(
        shown["secrets"],
        json!([{"id": "primary", "valid_from": null, "valid_until": null}])
    );
    assert!(!format!("{shown} {:?}", draft.resource).contains("whsec_"));
    // Nor where they do not belong.
    let misplaced = with(
        SOURCE,
        json!({"secrets": WEBHOOK_SECRET, "space": {"s": WEBHOOK_SECRET}}),
    );
    assert!(!details(read_json(ResourceKind::Source, &misplaced)).contains("whsec_"));
    let broken = format!("{{\"secret\": \"{WEBHOOK_SECRET}\" oops");
    let issues = read(ResourceKind::Source, Media::Json, broken.as_bytes());
    assert!(!details(issues).contains("whsec_"));
}

#[test]
fn what_is_shown_can_be_put_again() {
    let source = with(SOURCE, json!({"secret": WEBHOOK_SECRET}));
    let draft = read_json(ResourceKind::Source, &source).ok().unwrap();
    let again = read_json(ResourceKind::Source, &show(&draft.resource))
        .ok()
        .unwrap();
    assert_eq!(again.resource, draft.resource);

    let draft = read(ResourceKind::Policy, Media::Text, POLICY.as_bytes())
        .ok()
        .unwrap();
    let again = read_json(ResourceKind::Policy, &show(&draft.resource))
        .ok()
        .unwrap();
    assert_eq!(again.resource, draft.resource);
}

#[test]
fn callers_are_checked() {
    let key = json!({
        "subject": "ada", "scopes": ["invoke", "read"], "secret_sha256": "0f".repeat(32),
        "expires_at": "2030-01-01T00:00:00Z",
    });
    assert_eq!(pointers(ResourceKind::Key, &key), [""; 0]);
    let draft = read_json(ResourceKind::Key, &key).ok().unwrap();
    // Nothing of the secret is shown, not even its digest.
    assert!(!show(&draft.resource).to_string().contains("0f0f"));
    let wrong = json!({
        "subject": "a b", "scopes": ["invoke", "invoke", "fly"], "secret_sha256": "0F",
        "expires_at": "soon", "secret": "in clear",
    });
    assert_eq!(
        pointers(ResourceKind::Key, &wrong),
        [
            "/subject",
            "/scopes/1",
            "/scopes/2",
            "/secret_sha256",
            "/expires_at",
            "/secret"
        ]
    );
    let issuer =
        json!({"url": "https://login.example.com", "audiences": ["mesh"], "scopes": ["*"]});
    assert_eq!(pointers(ResourceKind::Issuer, &issuer), [""; 0]);
    // An issuer without encryption could be anybody; one that shares its secret as well.
    let wrong = json!({
        "url": "http://login.example.com", "scopes": ["read"], "algorithms": ["RS256", "HS256"],
    });
    assert_eq!(
        pointers(ResourceKind::Issuer, &wrong),
        ["/url", "/audiences", "/algorithms/1"]
    );
    let certificate =
        json!({"name": "CN=billing, O=Acme", "subject": "billing", "scopes": ["read"]});
    assert_eq!(pointers(ResourceKind::Certificate, &certificate), [""; 0]);
}
