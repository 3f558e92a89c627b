use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain_kernel::{EventId, Space, TenantId, Timestamp};
use domain_registry::{
    Agent, Certificate, Connector, Issuer, Key, Policy, Resource, ResourceKind, Source,
    Subscription, SubscriptionTarget, Workflow,
};
use domain_workflow::Definition;
use serde_json::{Map, Value};

use crate::apply::Snapshot;

/// One stream of the registry as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: ResourceKind,
    pub id: String,
    pub tenant: TenantId,
    pub version: u64,
    /// The event that made this version.
    pub event_id: EventId,
    /// When it was recorded.
    pub at: Timestamp,
    /// None once retired.
    pub resource: Option<Resource>,
    pub(crate) definition: Option<Arc<Definition>>,
}

/// A resource that is registered and not retired.
#[derive(Debug)]
pub struct Registered<'a, T> {
    pub id: &'a str,
    pub tenant: &'a TenantId,
    pub version: u64,
    pub resource: &'a T,
}

impl<T> Clone for Registered<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Registered<'_, T> {}

/// Who is told of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// `workflow/<id>`, or `subscription/<id>` when the target is no workflow.
    pub id: String,
    pub target: SubscriptionTarget,
}

/// What a tenant's policy bundle is made of, in an order that depends on nothing
/// but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleMaterial {
    /// `<policy id>/<file name>` and Rego text.
    pub modules: Vec<(String, String)>,
    /// The `data` documents of all policies, merged.
    pub data: Value,
    /// JSON pointers of what two policies define differently. The registry
    /// refuses such a pair, so this is empty for what is registered.
    pub conflicts: Vec<String>,
}

/// What a secret is sealed for: the context given to the vault.
pub fn secret_context(kind: ResourceKind, resource_id: &str, secret_id: &str) -> String {
    format!("{}/{resource_id}/{secret_id}", kind.as_str())
}

macro_rules! typed {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        pub fn $name(&self, id: &str) -> Option<Registered<'_, $kind>> {
            let entry = self.entries.get(&ResourceKind::$kind)?.get(id)?;
            match entry.resource.as_ref()? {
                Resource::$kind(resource) => Some(Registered {
                    id: &entry.id,
                    tenant: &entry.tenant,
                    version: entry.version,
                    resource,
                }),
                _ => None,
            }
        }
    };
}

impl Snapshot {
    typed!(source, Source);
    typed!(agent, Agent);
    typed!(connector, Connector);
    typed!(policy, Policy);
    typed!(subscription, Subscription);
    typed!(workflow, Workflow);
    typed!(key, Key);
    typed!(issuer, Issuer);
    typed!(certificate, Certificate);

    /// The parsed definition of a workflow that is registered.
    pub fn definition(&self, id: &str) -> Option<Arc<Definition>> {
        let entry = self.entries.get(&ResourceKind::Workflow)?.get(id)?;
        entry.definition.clone()
    }

    /// The stream of one resource, retired or not.
    pub fn entry(&self, kind: ResourceKind, id: &str) -> Option<&Arc<Entry>> {
        self.entries.get(&kind)?.get(id)
    }

    /// The streams of one kind, of all tenants, retired ones included.
    pub(crate) fn of_kind(&self, kind: ResourceKind) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The resources of one kind that a tenant has, ordered by id; without retired ones.
    pub fn of_tenant<'a>(
        &'a self,
        kind: ResourceKind,
        tenant: &'a TenantId,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(move |entry| entry.tenant == *tenant && entry.resource.is_some())
    }

    /// Who in `tenant` is told of a context of `kind` in `space`, each once,
    /// ordered by subscriber id.
    pub fn subscriptions(&self, tenant: &TenantId, space: &Space, kind: &str) -> Vec<Subscriber> {
        let mut subscribers = BTreeMap::new();
        for entry in self.of_tenant(ResourceKind::Workflow, tenant) {
            if let Some(definition) = &entry.definition
                && definition.trigger.kind == kind
                && definition.trigger.space == *space
            {
                add_workflow(&mut subscribers, &entry.id);
            }
        }
        for entry in self.of_tenant(ResourceKind::Subscription, tenant) {
            let Some(Resource::Subscription(subscription)) = &entry.resource else {
                continue;
            };
            if subscription.context_kind != kind || subscription.space != *space {
                continue;
            }
            match &subscription.target {
                SubscriptionTarget::Workflow { workflow } => {
                    add_workflow(&mut subscribers, workflow);
                }
                target @ SubscriptionTarget::Topic => {
                    subscribers.insert(format!("subscription/{}", entry.id), target.clone());
                }
            }
        }
        subscribers
            .into_iter()
            .map(|(id, target)| Subscriber { id, target })
            .collect()
    }

    /// The tenants that have at least one policy, in order.
    pub fn tenants_with_policies(&self) -> Vec<TenantId> {
        let policies = self.entries.get(&ResourceKind::Policy);
        let tenants: BTreeSet<_> = policies
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|entry| entry.resource.is_some())
            .map(|entry| entry.tenant.clone())
            .collect();
        tenants.into_iter().collect()
    }

    /// Names the versions of all policies of `tenant`; none when it has none,
    /// which means deny. Cheap: what a bundle was compiled for is compared with it.
    pub fn bundle_version(&self, tenant: &TenantId) -> Option<String> {
        let mut version = String::new();
        for entry in self.of_tenant(ResourceKind::Policy, tenant) {
            version.push_str(&format!("{}@{};", entry.id, entry.version));
        }
        (!version.is_empty()).then_some(version)
    }

    /// What the policies of `tenant` amount to; empty when it has none.
    pub fn bundle_material(&self, tenant: &TenantId) -> BundleMaterial {
        self.bundle_material_with(tenant, None)
    }

    /// The same, as if `added` were registered already: what the registry
    /// compiles before it accepts a policy.
    pub fn bundle_material_with(
        &self,
        tenant: &TenantId,
        added: Option<(&str, &Policy)>,
    ) -> BundleMaterial {
        let mut policies: BTreeMap<&str, &Policy> = BTreeMap::new();
        for entry in self.of_tenant(ResourceKind::Policy, tenant) {
            if let Some(Resource::Policy(policy)) = &entry.resource {
                policies.insert(&entry.id, policy);
            }
        }
        policies.extend(added);
        let mut material = BundleMaterial {
            modules: Vec::new(),
            data: Value::Object(Map::new()),
            conflicts: Vec::new(),
        };
        for (id, policy) in policies {
            for (name, text) in &policy.modules {
                material
                    .modules
                    .push((format!("{id}/{name}"), text.clone()));
            }
            // What is registered parses; `null` makes a conflict of what does not.
            let more = serde_json::from_str(policy.data.as_str()).unwrap_or_default();
            merge(&mut material.data, more, "", &mut material.conflicts);
        }
        material.modules.sort();
        material
    }
}

fn add_workflow(subscribers: &mut BTreeMap<String, SubscriptionTarget>, workflow: &str) {
    subscribers.insert(
        format!("workflow/{workflow}"),
        SubscriptionTarget::Workflow {
            workflow: workflow.to_owned(),
        },
    );
}

/// Merges objects key by key. Where two policies give one key different values,
/// the first by policy id stays and the place is noted as a conflict.
fn merge(data: &mut Value, more: Value, at: &str, conflicts: &mut Vec<String>) {
    match (data, more) {
        (Value::Object(data), Value::Object(more)) => {
            for (key, value) in more {
                let below = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match data.get_mut(&key) {
                    Some(known) => merge(known, value, &below, conflicts),
                    None => {
                        data.insert(key, value);
                    }
                }
            }
        }
        (known, more) if *known == more => {}
        _ => conflicts.push(at.to_owned()),
    }
}
