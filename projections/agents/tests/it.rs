#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_kernel::{Recorded, TenantId};
use domain_registry::{
    Agent, Connector, RegistryEvent, Resource, ResourceDefined, ResourceKind, ResourceRetired,
    Secret,
};
use projections_agents::{AgentsProjection, get, list};
use schemas::Registry;
use testing::{Mesh, again, recorded};

fn agent(version: u64, timeout_ms: u64) -> Recorded<RegistryEvent> {
    let event = RegistryEvent::Defined(ResourceDefined {
        id: "triage".to_owned(),
        tenant: TenantId::new("acme"),
        resource: Resource::Agent(Agent {
            name: "Triage".to_owned(),
            endpoint: "http://127.0.0.1:3010/mcp".to_owned(),
            tools: vec!["handle_ticket".to_owned()],
            timeout_ms,
        }),
    });
    recorded("agent/triage", version, event)
}

fn connector() -> Recorded<RegistryEvent> {
    let event = RegistryEvent::Defined(ResourceDefined {
        id: "crm".to_owned(),
        tenant: TenantId::new("acme"),
        resource: Resource::Connector(Connector {
            system: "hubspot".to_owned(),
            base_url: "http://127.0.0.1:3020".to_owned(),
            credential: Secret {
                id: "1".to_owned(),
                sealed: "c2VhbGVk".to_owned(),
                valid_from: None,
                valid_until: None,
            },
            timeout_ms: 1,
            max_attempts: 1,
        }),
    });
    recorded("connector/crm", 1, event)
}

fn retired() -> Recorded<RegistryEvent> {
    let event = RegistryEvent::Retired(ResourceRetired {
        kind: ResourceKind::Connector,
        id: "crm".to_owned(),
        tenant: TenantId::new("acme"),
    });
    recorded("connector/crm", 2, event)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_of_each_resource_is_listed() {
    let mesh = Mesh::new("agents").await;
    let events = [agent(1, 1_000), connector(), agent(2, 2_000), retired()];
    let records = events.iter().map(|event| mesh.record::<Registry>(event));
    let records = records.collect();
    // An owner that was superseded wrote version 2 as well, otherwise.
    let zombie = agent(2, 9_000);
    let repeats = events.iter().map(again).chain([zombie]);
    let repeats = repeats.map(|event| mesh.record::<Registry>(&event));
    let repeats = repeats.collect();
    mesh.laws(AgentsProjection::new, records, repeats).await;

    let acme = TenantId::new("acme");
    let all = list(&mesh.pool, &acme, None).await.unwrap();
    assert_eq!(all.len(), 1, "what is retired is not listed");
    assert_eq!((all[0].id.as_str(), all[0].version), ("triage", 2));
    let definition = all[0].definition.as_ref().unwrap();
    assert_eq!(definition["timeout_ms"], 2_000);
    let agents = list(&mesh.pool, &acme, Some(ResourceKind::Agent)).await;
    assert_eq!(agents.unwrap(), all);
    let sources = list(&mesh.pool, &acme, Some(ResourceKind::Source)).await;
    assert_eq!(sources.unwrap(), []);
    let others = list(&mesh.pool, &TenantId::new("other"), None).await;
    assert_eq!(others.unwrap(), []);

    let crm = get(&mesh.pool, ResourceKind::Connector, "crm").await;
    let crm = crm.unwrap().unwrap();
    assert_eq!((crm.retired, crm.version, crm.definition), (true, 2, None));
}
