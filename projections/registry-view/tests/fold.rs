//! What the view makes of events, without any server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use domain_kernel::{EventId, Json, Space, TenantId, Timestamp};
use domain_registry::{
    Agent, Policy, Resource, ResourceKind, Subscription, SubscriptionTarget, Workflow,
};
use projections_registry_view::{Change, RegistryView, Snapshot};
use serde_json::json;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name)
}

fn change(kind: ResourceKind, id: &str, version: u64, resource: Option<Resource>) -> Change {
    Change {
        kind,
        id: id.to_owned(),
        tenant: tenant("acme"),
        version,
        event_id: EventId::derive(&[kind.as_str(), id, &version.to_string()]),
        at: Timestamp::from_millis(1),
        resource,
    }
}

fn defined(id: &str, version: u64, resource: Resource) -> Change {
    change(resource.kind(), id, version, Some(resource))
}

fn agent(timeout_ms: u64) -> Resource {
    Resource::Agent(Agent {
        name: "Triage".to_owned(),
        endpoint: "http://127.0.0.1/mcp".to_owned(),
        tools: vec!["handle_ticket".to_owned()],
        timeout_ms,
    })
}

fn policy(modules: &[(&str, &str)], data: serde_json::Value) -> Resource {
    Resource::Policy(Policy {
        modules: modules
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        data: Json::from_text(data.to_string()),
    })
}

fn workflow(kind: &str) -> Resource {
    let definition = json!({
        "name": "w",
        "trigger": {"kind": kind, "space": "support"},
        "steps": [{
            "name": "one",
            "agent": {"id": "triage", "tool": "handle_ticket"},
            "deadline_ms": 1000,
            "compensate": {"agent": {"id": "triage", "tool": "undo"}, "deadline_ms": 1}
        }],
    });
    Resource::Workflow(Workflow {
        yaml: String::new(),
        definition: Json::from_text(definition.to_string()),
        digest: "sha256:00".to_owned(),
    })
}

fn subscription(target: SubscriptionTarget) -> Resource {
    Resource::Subscription(Subscription {
        space: Space::new("support"),
        context_kind: "ticket".to_owned(),
        target,
    })
}

fn fold(changes: impl IntoIterator<Item = Change>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for change in changes {
        snapshot.apply(change);
    }
    snapshot
}

#[test]
fn the_newest_version_counts() {
    let snapshot = fold([defined("a", 1, agent(1)), defined("a", 2, agent(2))]);
    let found = snapshot.agent("a").unwrap();
    assert_eq!((found.version, found.resource.timeout_ms), (2, 2));
    assert_eq!(found.tenant, &tenant("acme"));
    assert!(snapshot.agent("b").is_none());
    assert!(snapshot.source("a").is_none());
}

#[test]
fn the_first_event_at_a_version_wins() {
    let mut snapshot = fold([defined("a", 1, agent(1))]);
    let mut late = defined("a", 1, agent(9));
    late.event_id = EventId::derive(&["late"]);
    assert!(!snapshot.apply(late));
    assert_eq!(snapshot.agent("a").unwrap().resource.timeout_ms, 1);
    assert!(!snapshot.apply(defined("a", 3, agent(3))), "a gap");
    assert!(snapshot.apply(defined("a", 2, agent(2))));
}

#[test]
fn a_retired_resource_is_gone_but_its_version_is_known() {
    let retired = change(ResourceKind::Agent, "a", 2, None);
    let snapshot = fold([defined("a", 1, agent(1)), retired]);
    assert!(snapshot.agent("a").is_none());
    assert_eq!(snapshot.entry(ResourceKind::Agent, "a").unwrap().version, 2);
    let acme = tenant("acme");
    assert_eq!(snapshot.of_tenant(ResourceKind::Agent, &acme).count(), 0);

    let back = fold([
        defined("a", 1, agent(1)),
        change(ResourceKind::Agent, "a", 2, None),
        defined("a", 3, agent(3)),
    ]);
    assert_eq!(back.agent("a").unwrap().version, 3);
}

#[test]
fn a_workflow_subscribes_to_its_trigger_once() {
    let to_workflow = SubscriptionTarget::Workflow {
        workflow: "w".to_owned(),
    };
    let snapshot = fold([
        defined("w", 1, workflow("ticket")),
        defined("other", 1, workflow("invoice")),
        defined("explicit", 1, subscription(to_workflow)),
        defined("reader", 1, subscription(SubscriptionTarget::Topic)),
    ]);
    let ids = |name: &str, space: &str, kind: &str| -> Vec<String> {
        snapshot
            .subscriptions(&tenant(name), &Space::new(space), kind)
            .into_iter()
            .map(|subscriber| subscriber.id)
            .collect()
    };
    assert_eq!(
        ids("acme", "support", "ticket"),
        ["subscription/reader", "workflow/w"]
    );
    assert_eq!(ids("acme", "support", "invoice"), ["workflow/other"]);
    assert_eq!(ids("acme", "sales", "ticket"), [""; 0]);
    assert_eq!(ids("globex", "support", "ticket"), [""; 0]);
}

#[test]
fn a_definition_survives_its_json() {
    let snapshot = fold([defined("w", 1, workflow("ticket"))]);
    let definition = snapshot.definition("w").expect("readable");
    let text = serde_json::to_string(&*definition).unwrap();
    assert_eq!(
        serde_json::from_str::<domain_workflow::Definition>(&text).unwrap(),
        *definition
    );
    assert!(definition.steps[0].compensate.is_some());
}

#[test]
fn policies_of_a_tenant_make_one_bundle() {
    let mut foreign = defined("z", 1, policy(&[("p.rego", "package z")], json!({})));
    foreign.tenant = tenant("globex");
    let changes = [
        defined(
            "b",
            1,
            policy(&[("p.rego", "package b")], json!({"x": {"b": 1}})),
        ),
        defined(
            "a",
            4,
            policy(
                &[("q.rego", "package a2"), ("p.rego", "package a")],
                json!({"x": {"a": 1}}),
            ),
        ),
        foreign,
    ];
    let mut one = changes.clone();
    one[1].version = 1;
    let mut reversed = one.clone();
    reversed.reverse();
    let snapshot = fold(one);
    let material = snapshot.bundle_material(&tenant("acme"));
    let names: Vec<_> = material
        .modules
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a/p.rego", "a/q.rego", "b/p.rego"]);
    assert_eq!(material.data, json!({"x": {"a": 1, "b": 1}}));
    assert_eq!(material.conflicts, [""; 0]);
    assert_eq!(fold(reversed).bundle_material(&tenant("acme")), material);
    assert_eq!(
        snapshot.bundle_version(&tenant("acme")).as_deref(),
        Some("a@1;b@1;")
    );
    assert_eq!(snapshot.bundle_version(&tenant("nobody")), None);
}

#[test]
fn data_that_two_policies_disagree_on_is_named() {
    let snapshot = fold([
        defined("a", 1, policy(&[], json!({"limits": {"n": 1, "same": 2}}))),
        defined("b", 1, policy(&[], json!({"limits": {"n": 9, "same": 2}}))),
    ]);
    let material = snapshot.bundle_material(&tenant("acme"));
    assert_eq!(material.conflicts, ["/limits/n"]);
    assert_eq!(material.data["limits"]["n"], json!(1));
}

#[tokio::test]
async fn whoever_awaits_an_event_learns_whether_it_won() {
    let view = RegistryView::empty();
    assert!(!view.is_caught_up());
    let first = defined("a", 1, agent(1));
    let mut second = defined("a", 1, agent(2));
    second.event_id = EventId::derive(&["second"]);
    let winner = view.expect(first.event_id);
    let loser = view.expect(second.event_id);
    let changed = view.changed();
    view.apply(vec![first.clone(), second]);
    assert!(winner.won().await.unwrap());
    assert!(!loser.won().await.unwrap());
    changed.await;
    view.caught_up().await;

    // Read again after a reconnect, it is still the one that won.
    let again = view.expect(first.event_id);
    view.apply(vec![first]);
    assert!(again.won().await.unwrap());
}
