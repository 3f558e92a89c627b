use std::time::SystemTime;

use domain_kernel::Recorded;
use domain_registry::RegistryEvent;
use platform_log::Position;
use platform_postgres::{storable, timestamptz};
use schemas::AnyEvent;
use uuid::Uuid;

/// A resource as one event left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRow {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) version: i64,
    pub(crate) retired: bool,
    pub(crate) definition: Option<String>,
    pub(crate) event_id: Uuid,
    pub(crate) recorded_at: SystemTime,
}

/// The row that follows from one event.
pub fn project(recorded: &Recorded<RegistryEvent>, _position: &Position) -> Vec<ResourceRow> {
    let meta = &recorded.meta;
    let (kind, id, tenant, definition) = match &recorded.event {
        RegistryEvent::Defined(event) => {
            let rendered = AnyEvent::Registry(recorded.event.clone()).to_json().ok();
            (
                event.resource.kind(),
                &event.id,
                &event.tenant,
                rendered.map(|json| json.to_string()),
            )
        }
        RegistryEvent::Retired(event) => (event.kind, &event.id, &event.tenant, None),
    };
    vec![ResourceRow {
        kind: kind.as_str(),
        id: storable(id),
        tenant: storable(tenant.as_str()),
        version: i64::try_from(meta.version).unwrap_or(i64::MAX),
        retired: matches!(recorded.event, RegistryEvent::Retired(_)),
        definition,
        event_id: meta.id.as_uuid(),
        recorded_at: timestamptz(meta.at.as_micros()),
    }]
}

/// One row a resource: the newest. Of two rows of one version the first one wins.
pub(crate) fn fold(rows: Vec<ResourceRow>) -> Vec<ResourceRow> {
    let mut newest = std::collections::BTreeMap::new();
    for row in rows {
        match newest.entry((row.kind, row.id.clone())) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(row);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let known: &ResourceRow = entry.get();
                if known.version < row.version {
                    entry.insert(row);
                }
            }
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use domain_kernel::{CorrelationId, EventId, Metadata, TenantId, Timestamp};
    use domain_registry::{
        Connector, Resource, ResourceDefined, ResourceKind, ResourceRetired, Secret,
    };

    use super::*;

    fn row(version: u64, at: i64, event: RegistryEvent) -> ResourceRow {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::derive(&["c"]),
                causation: None,
                stream: "connector/crm".to_owned(),
                version,
                at: Timestamp::from_micros(at),
                source: "/agentmesh/registry".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        };
        let position = Position {
            topic: "mesh.registry".to_owned(),
            partition: 0,
            offset: 0,
        };
        project(&recorded, &position).remove(0)
    }

    fn defined() -> RegistryEvent {
        RegistryEvent::Defined(ResourceDefined {
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
        })
    }

    fn retired() -> RegistryEvent {
        RegistryEvent::Retired(ResourceRetired {
            kind: ResourceKind::Connector,
            id: "crm".to_owned(),
            tenant: TenantId::new("acme"),
        })
    }

    #[test]
    fn a_definition_is_stored_as_published_with_its_secret_sealed() {
        let row = row(1, 1, defined());
        assert!(row.definition.unwrap().contains("\"sealed\":\"c2VhbGVk\""));
        assert_eq!(
            (row.kind, row.version, row.retired),
            ("connector", 1, false)
        );
    }

    #[test]
    fn the_newest_version_stands_and_of_a_repeat_the_first() {
        let folded = fold(vec![
            row(1, 1, defined()),
            row(2, 2, retired()),
            row(2, 3, retired()),
            row(1, 4, defined()),
        ]);
        assert_eq!(folded, [row(2, 2, retired())]);
    }
}
