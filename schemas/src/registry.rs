use domain_kernel::{Codec, CodecError, Recorded, TenantId};
use domain_registry::{
    self as domain, RegistryEvent, Resource, ResourceDefined, ResourceKind, SubscriptionTarget,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    callers::{CertificateDefined, IssuerDefined, KeyDefined},
    form::{Form, WriterSchema},
    secret::Secret,
    value::{Text, Unmappable, borrowed, json, maybe_borrowed, maybe_owned, owned, space},
};

const TOPIC: &str = "mesh.registry";

pub(crate) static SOURCE: Form = Form::new(
    TOPIC,
    "SourceDefined",
    2,
    include_str!("../avro/mesh.registry/SourceDefined/v2.avsc"),
)
.after(&[include_str!("../avro/mesh.registry/SourceDefined/v1.avsc")]);
pub(crate) static AGENT: Form = Form::new(
    TOPIC,
    "AgentDefined",
    1,
    include_str!("../avro/mesh.registry/AgentDefined/v1.avsc"),
);
pub(crate) static POLICY: Form = Form::new(
    TOPIC,
    "PolicyDefined",
    1,
    include_str!("../avro/mesh.registry/PolicyDefined/v1.avsc"),
);
pub(crate) static SUBSCRIPTION: Form = Form::new(
    TOPIC,
    "SubscriptionDefined",
    1,
    include_str!("../avro/mesh.registry/SubscriptionDefined/v1.avsc"),
);
pub(crate) static WORKFLOW: Form = Form::new(
    TOPIC,
    "WorkflowDefined",
    1,
    include_str!("../avro/mesh.registry/WorkflowDefined/v1.avsc"),
);
pub(crate) static CONNECTOR: Form = Form::new(
    TOPIC,
    "ConnectorDefined",
    1,
    include_str!("../avro/mesh.registry/ConnectorDefined/v1.avsc"),
);
pub(crate) static KEY: Form = Form::new(
    TOPIC,
    "KeyDefined",
    1,
    include_str!("../avro/mesh.registry/KeyDefined/v1.avsc"),
);
pub(crate) static ISSUER: Form = Form::new(
    TOPIC,
    "IssuerDefined",
    1,
    include_str!("../avro/mesh.registry/IssuerDefined/v1.avsc"),
);
pub(crate) static CERTIFICATE: Form = Form::new(
    TOPIC,
    "CertificateDefined",
    1,
    include_str!("../avro/mesh.registry/CertificateDefined/v1.avsc"),
);
pub(crate) static RETIRED: Form = Form::new(
    TOPIC,
    "ResourceRetired",
    1,
    include_str!("../avro/mesh.registry/ResourceRetired/v1.avsc"),
);

/// `mesh.registry`.
#[derive(Debug, Clone, Copy)]
pub struct Registry;

impl Codec for Registry {
    type Event = RegistryEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &RegistryEvent) -> &'static str {
        match event {
            RegistryEvent::Defined(defined) => match defined.resource {
                Resource::Source(_) => SOURCE.name(),
                Resource::Agent(_) => AGENT.name(),
                Resource::Policy(_) => POLICY.name(),
                Resource::Subscription(_) => SUBSCRIPTION.name(),
                Resource::Workflow(_) => WORKFLOW.name(),
                Resource::Connector(_) => CONNECTOR.name(),
                Resource::Key(_) => KEY.name(),
                Resource::Issuer(_) => ISSUER.name(),
                Resource::Certificate(_) => CERTIFICATE.name(),
            },
            RegistryEvent::Retired(_) => RETIRED.name(),
        }
    }

    /// The topic has one partition; the key says which resource it is.
    fn key(recorded: &Recorded<RegistryEvent>) -> String {
        recorded.meta.stream.clone()
    }

    fn encode(event: &RegistryEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            RegistryEvent::Defined(defined) => {
                let of = (defined.id.as_str(), &defined.tenant);
                match &defined.resource {
                    Resource::Source(resource) => SOURCE.encode(&SourceDefined::of(of, resource)),
                    Resource::Agent(resource) => AGENT.encode(&AgentDefined::of(of, resource)),
                    Resource::Policy(resource) => POLICY.encode(&PolicyDefined::of(of, resource)),
                    Resource::Subscription(resource) => {
                        SUBSCRIPTION.encode(&SubscriptionDefined::of(of, resource))
                    }
                    Resource::Workflow(resource) => {
                        WORKFLOW.encode(&WorkflowDefined::of(of, resource))
                    }
                    Resource::Connector(resource) => {
                        CONNECTOR.encode(&ConnectorDefined::of(of, resource))
                    }
                    Resource::Key(resource) => KEY.encode(&KeyDefined::of(of, resource)),
                    Resource::Issuer(resource) => ISSUER.encode(&IssuerDefined::of(of, resource)),
                    Resource::Certificate(resource) => {
                        CERTIFICATE.encode(&CertificateDefined::of(of, resource))
                    }
                }
            }
            RegistryEvent::Retired(event) => RETIRED.encode(&ResourceRetired::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<RegistryEvent, CodecError> {
        let defined = match name {
            "SourceDefined" => schema.read_as::<SourceDefined<'_>, ResourceDefined>(name, datum),
            "AgentDefined" => schema.read_as::<AgentDefined<'_>, ResourceDefined>(name, datum),
            "PolicyDefined" => schema.read_as::<PolicyDefined<'_>, ResourceDefined>(name, datum),
            "SubscriptionDefined" => {
                schema.read_as::<SubscriptionDefined<'_>, ResourceDefined>(name, datum)
            }
            "WorkflowDefined" => {
                schema.read_as::<WorkflowDefined<'_>, ResourceDefined>(name, datum)
            }
            "ConnectorDefined" => {
                schema.read_as::<ConnectorDefined<'_>, ResourceDefined>(name, datum)
            }
            "KeyDefined" => schema.read_as::<KeyDefined<'_>, ResourceDefined>(name, datum),
            "IssuerDefined" => schema.read_as::<IssuerDefined<'_>, ResourceDefined>(name, datum),
            "CertificateDefined" => {
                schema.read_as::<CertificateDefined<'_>, ResourceDefined>(name, datum)
            }
            "ResourceRetired" => {
                return schema
                    .read_as::<ResourceRetired<'_>, _>(name, datum)
                    .map(RegistryEvent::Retired);
            }
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        };
        defined.map(RegistryEvent::Defined)
    }
}

/// The event as published, for the JSON rendering. Secrets stay sealed.
pub(crate) fn render(event: &RegistryEvent) -> serde_json::Result<Value> {
    match event {
        RegistryEvent::Defined(defined) => {
            let of = (defined.id.as_str(), &defined.tenant);
            match &defined.resource {
                Resource::Source(resource) => serde_json::to_value(SourceDefined::of(of, resource)),
                Resource::Agent(resource) => serde_json::to_value(AgentDefined::of(of, resource)),
                Resource::Policy(resource) => serde_json::to_value(PolicyDefined::of(of, resource)),
                Resource::Subscription(resource) => {
                    serde_json::to_value(SubscriptionDefined::of(of, resource))
                }
                Resource::Workflow(resource) => {
                    serde_json::to_value(WorkflowDefined::of(of, resource))
                }
                Resource::Connector(resource) => {
                    serde_json::to_value(ConnectorDefined::of(of, resource))
                }
                Resource::Key(resource) => serde_json::to_value(KeyDefined::of(of, resource)),
                Resource::Issuer(resource) => serde_json::to_value(IssuerDefined::of(of, resource)),
                Resource::Certificate(resource) => {
                    serde_json::to_value(CertificateDefined::of(of, resource))
                }
            }
        }
        RegistryEvent::Retired(event) => serde_json::to_value(ResourceRetired::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
struct SourceDefined<'a> {
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
    fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Source) -> Self {
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
struct AgentDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    name: Text<'a>,
    endpoint: Text<'a>,
    tools: Vec<Text<'a>>,
    timeout_ms: u64,
}

impl<'a> AgentDefined<'a> {
    fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Agent) -> Self {
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
struct PolicyDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    modules: Vec<Module<'a>>,
    data: Text<'a>,
}

impl<'a> PolicyDefined<'a> {
    fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Policy) -> Self {
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
struct SubscriptionDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    space: Text<'a>,
    context_kind: Text<'a>,
    target: Text<'a>,
    workflow: Option<Text<'a>>,
}

impl<'a> SubscriptionDefined<'a> {
    fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Subscription) -> Self {
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
struct WorkflowDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    yaml: Text<'a>,
    definition: Text<'a>,
    digest: Text<'a>,
}

impl<'a> WorkflowDefined<'a> {
    fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Workflow) -> Self {
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
struct ConnectorDefined<'a> {
    id: Text<'a>,
    tenant: Text<'a>,
    system: Text<'a>,
    base_url: Text<'a>,
    credential: Secret<'a>,
    timeout_ms: u64,
    max_attempts: u32,
}

impl<'a> ConnectorDefined<'a> {
    fn of((id, tenant): (&'a str, &'a TenantId), resource: &'a domain::Connector) -> Self {
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
struct ResourceRetired<'a> {
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
