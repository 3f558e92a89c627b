mod forms;

use domain_kernel::{Codec, CodecError, Recorded};
use domain_registry::{RegistryEvent, Resource, ResourceDefined};
use serde_json::Value;

use self::forms::{
    AgentDefined, ConnectorDefined, PolicyDefined, ResourceRetired, SourceDefined,
    SubscriptionDefined, WorkflowDefined,
};
use crate::{
    callers::{CertificateDefined, IssuerDefined, KeyDefined},
    form::{Form, WriterSchema},
};

const TOPIC: &str = "mesh.registry";

pub(crate) static SOURCE: Form = Form::new(
    TOPIC,
    "SourceDefined",
    2,
    include_str!("../../avro/mesh.registry/SourceDefined/v2.avsc"),
)
.after(&[include_str!(
    "../../avro/mesh.registry/SourceDefined/v1.avsc"
)]);
pub(crate) static AGENT: Form = Form::new(
    TOPIC,
    "AgentDefined",
    1,
    include_str!("../../avro/mesh.registry/AgentDefined/v1.avsc"),
);
pub(crate) static POLICY: Form = Form::new(
    TOPIC,
    "PolicyDefined",
    1,
    include_str!("../../avro/mesh.registry/PolicyDefined/v1.avsc"),
);
pub(crate) static SUBSCRIPTION: Form = Form::new(
    TOPIC,
    "SubscriptionDefined",
    1,
    include_str!("../../avro/mesh.registry/SubscriptionDefined/v1.avsc"),
);
pub(crate) static WORKFLOW: Form = Form::new(
    TOPIC,
    "WorkflowDefined",
    1,
    include_str!("../../avro/mesh.registry/WorkflowDefined/v1.avsc"),
);
pub(crate) static CONNECTOR: Form = Form::new(
    TOPIC,
    "ConnectorDefined",
    1,
    include_str!("../../avro/mesh.registry/ConnectorDefined/v1.avsc"),
);
pub(crate) static KEY: Form = Form::new(
    TOPIC,
    "KeyDefined",
    1,
    include_str!("../../avro/mesh.registry/KeyDefined/v1.avsc"),
);
pub(crate) static ISSUER: Form = Form::new(
    TOPIC,
    "IssuerDefined",
    1,
    include_str!("../../avro/mesh.registry/IssuerDefined/v1.avsc"),
);
pub(crate) static CERTIFICATE: Form = Form::new(
    TOPIC,
    "CertificateDefined",
    1,
    include_str!("../../avro/mesh.registry/CertificateDefined/v1.avsc"),
);
pub(crate) static RETIRED: Form = Form::new(
    TOPIC,
    "ResourceRetired",
    1,
    include_str!("../../avro/mesh.registry/ResourceRetired/v1.avsc"),
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
