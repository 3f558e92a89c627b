//! What is published on `mesh.registry`, and its mapping from and to the domain.
//! Who may call has a file of its own, `callers`.

use domain_kernel::TenantId;
use domain_registry::{
    self as domain, Resource, ResourceDefined, ResourceKind, SubscriptionTarget,
};
use serde::{Deserialize, Serialize};

use crate::{
    secret::Secret,
    value::{Text, Unmappable, borrowed, json, maybe_borrowed, maybe_owned, owned, space},
};

#[derive(Serialize, Deserialize)]
pub(super) struct SourceDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    space: Text<'a>,
    scheme: Text<'a>,
    secrets: Vec<Secret<'a>>,
    event_type_pointer: Option<Text<'a>>,
    event_type: Option<Text<'a>>,
    subject_pointer: Option<Text<'a>>,
    text_pointers: Vec<Text<'a>>,
    content_pointer: Option<Text<'a>>,
    // Since version 2. Before it, every scheme had a name and every event type
    // was taken in.
    #[serde(default)]
    signing: Option<Text<'a>>,
    #[serde(default)]
    event_types: Option<Vec<Text<'a>>>,
}

impl<'a> SourceDefined<'a> {
    pub(super) fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Source) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            space: resource.space.as_str().into(),
            scheme: (&resource.scheme).into(),
            secrets: resource.secrets.iter().map(Into::into).collect(),
            event_type_pointer: maybe_borrowed(&resource.event_type_pointer),
            event_type: maybe_borrowed(&resource.event_type),
            subject_pointer: maybe_borrowed(&resource.subject_pointer),
            text_pointers: borrowed(&resource.text_pointers),
            content_pointer: maybe_borrowed(&resource.content_pointer),
            signing: resource.signing.as_ref().map(|json| json.as_str().into()),
            event_types: (!resource.event_types.is_empty())
                .then(|| borrowed(&resource.event_types)),
        }
    }
}

impl TryFrom<SourceDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: SourceDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Source(domain::Source {
                space: space(published.space),
                scheme: published.scheme.into_owned(),
                secrets: published.secrets.into_iter().map(Into::into).collect(),
                event_type_pointer: maybe_owned(published.event_type_pointer),
                event_type: maybe_owned(published.event_type),
                subject_pointer: maybe_owned(published.subject_pointer),
                text_pointers: owned(published.text_pointers),
                content_pointer: maybe_owned(published.content_pointer),
                signing: match published.signing {
                    Some(text) => Some(json("signing", text)?),
                    None => None,
                },
                event_types: owned(published.event_types.unwrap_or_default()),
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AgentDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    name: Text<'a>,
    endpoint: Text<'a>,
    tools: Vec<Text<'a>>,
    timeout_ms: u64,
}

impl<'a> AgentDefined<'a> {
    pub(super) fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Agent) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            name: (&resource.name).into(),
            endpoint: (&resource.endpoint).into(),
            tools: borrowed(&resource.tools),
            timeout_ms: resource.timeout_ms,
        }
    }
}

impl TryFrom<AgentDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: AgentDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Agent(domain::Agent {
                name: published.name.into_owned(),
                endpoint: published.endpoint.into_owned(),
                tools: owned(published.tools),
                timeout_ms: published.timeout_ms,
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct PolicyDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    modules: Vec<Module<'a>>,
    data: Text<'a>,
}

impl<'a> PolicyDefined<'a> {
    pub(super) fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Policy) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            modules: resource
                .modules
                .iter()
                .map(|(name, text)| Module {
                    name: name.into(),
                    text: text.into(),
                })
                .collect(),
            data: resource.data.as_str().into(),
        }
    }
}

impl TryFrom<PolicyDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: PolicyDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Policy(domain::Policy {
                modules: published
                    .modules
                    .into_iter()
                    .map(|module| (module.name.into_owned(), module.text.into_owned()))
                    .collect(),
                data: json("data", published.data)?,
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SubscriptionDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    space: Text<'a>,
    context_kind: Text<'a>,
    target: Text<'a>,
    workflow: Option<Text<'a>>,
}

impl<'a> SubscriptionDefined<'a> {
    pub(super) fn of(
        (id, tenant): (&'a str, &'a TenantId),
        resource: &'a domain::Subscription,
    ) -> Self {
        let (target, workflow) = match &resource.target {
            SubscriptionTarget::Workflow { workflow } => (TO_WORKFLOW, Some(workflow.into())),
            SubscriptionTarget::Topic => (TO_TOPIC, None),
        };
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            space: resource.space.as_str().into(),
            context_kind: (&resource.context_kind).into(),
            target: target.into(),
            workflow,
        }
    }
}

impl TryFrom<SubscriptionDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: SubscriptionDefined<'_>) -> Result<Self, Unmappable> {
        let target = match (published.target.as_ref(), published.workflow) {
            (TO_WORKFLOW, Some(workflow)) => SubscriptionTarget::Workflow {
                workflow: workflow.into_owned(),
            },
            (TO_TOPIC, None) => SubscriptionTarget::Topic,
            (found, _) => {
                return Err(Unmappable::Value {
                    field: "target",
                    found: found.to_owned(),
                });
            }
        };
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Subscription(domain::Subscription {
                space: space(published.space),
                context_kind: published.context_kind.into_owned(),
                target,
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WorkflowDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    yaml: Text<'a>,
    definition: Text<'a>,
    digest: Text<'a>,
}

impl<'a> WorkflowDefined<'a> {
    pub(super) fn of(
        (id, tenant): (&'a str, &'a TenantId),
        resource: &'a domain::Workflow,
    ) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            yaml: (&resource.yaml).into(),
            definition: resource.definition.as_str().into(),
            digest: (&resource.digest).into(),
        }
    }
}

impl TryFrom<WorkflowDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: WorkflowDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Workflow(domain::Workflow {
                yaml: published.yaml.into_owned(),
                definition: json("definition", published.definition)?,
                digest: published.digest.into_owned(),
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ConnectorDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    system: Text<'a>,
    base_url: Text<'a>,
    credential: Secret<'a>,
    timeout_ms: u64,
    max_attempts: u32,
}

impl<'a> ConnectorDefined<'a> {
    pub(super) fn of(
        (id, tenant): (&'a str, &'a TenantId),
        resource: &'a domain::Connector,
    ) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.as_str().into(),
            system: (&resource.system).into(),
            base_url: (&resource.base_url).into(),
            credential: (&resource.credential).into(),
            timeout_ms: resource.timeout_ms,
            max_attempts: resource.max_attempts,
        }
    }
}

impl TryFrom<ConnectorDefined<'_>> for ResourceDefined {
    type Error = Unmappable;

    fn try_from(published: ConnectorDefined<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
            resource: Resource::Connector(domain::Connector {
                system: published.system.into_owned(),
                base_url: published.base_url.into_owned(),
                credential: published.credential.into(),
                timeout_ms: published.timeout_ms,
                max_attempts: published.max_attempts,
            }),
        })
    }
}

/// The subscription target that starts a workflow.
const TO_WORKFLOW: &str = "workflow";
/// The subscription target that is whoever reads `mesh.notifications`.
const TO_TOPIC: &str = "topic";

#[derive(Serialize, Deserialize)]
struct Module<'a> {
    name: Text<'a>,
    text: Text<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResourceRetired<'a> {
    kind: Text<'a>,
    id: Text<'a>,
    tenant: Text<'a>,
}

impl<'a> From<&'a domain::ResourceRetired> for ResourceRetired<'a> {
    fn from(event: &'a domain::ResourceRetired) -> Self {
        Self {
            kind: event.kind.as_str().into(),
            id: (&event.id).into(),
            tenant: event.tenant.as_str().into(),
        }
    }
}

impl TryFrom<ResourceRetired<'_>> for domain::ResourceRetired {
    type Error = Unmappable;

    fn try_from(published: ResourceRetired<'_>) -> Result<Self, Unmappable> {
        let kind = ResourceKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == published.kind)
            .ok_or_else(|| Unmappable::Value {
                field: "kind",
                found: published.kind.clone().into_owned(),
            })?;
        Ok(Self {
            kind,
            id: published.id.into_owned(),
            tenant: TenantId::new(published.tenant),
        })
    }
}
