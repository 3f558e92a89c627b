use domain_kernel::{Json, Space, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// The events of `mesh.registry`; the stream is `<kind>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryEvent {
    /// A resource was registered, or replaced by a new version of itself.
    Defined(ResourceDefined),
    Retired(ResourceRetired),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDefined {
    /// Unique within its kind; lowercase letters, digits and dashes.
    pub id: String,
    pub tenant: TenantId,
    pub resource: Resource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRetired {
    pub kind: ResourceKind,
    pub id: String,
    pub tenant: TenantId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    Source,
    Agent,
    Policy,
    Subscription,
    Workflow,
    Connector,
}

/// What is registered. Published as one Avro record a kind: `SourceDefined`,
/// `AgentDefined`, and so on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Resource {
    Source(Source),
    Agent(Agent),
    Policy(Policy),
    Subscription(Subscription),
    Workflow(Workflow),
    Connector(Connector),
}

/// Who may send, and how what they send is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub space: Space,
    /// The name of a signature scheme, such as `standard-webhooks`, or `custom`.
    pub scheme: String,
    /// Of scheme `custom`, what it is: a JSON object.
    pub signing: Option<Json>,
    pub secrets: Vec<Secret>,
    /// JSON pointer (RFC 6901) to the event type; when absent, `event_type` is fixed.
    pub event_type_pointer: Option<String>,
    /// The event type when there is no pointer.
    pub event_type: Option<String>,
    /// JSON pointer to whom or what it is about.
    pub subject_pointer: Option<String>,
    /// JSON pointers to the texts that say what happened, for near-duplicate detection.
    pub text_pointers: Vec<String>,
    /// JSON pointer to what agents are shown; absent means the whole body.
    pub content_pointer: Option<String>,
    /// The event types it sends; none listed means any. A delivery of another
    /// type is kept and waits for an operator.
    pub event_types: Vec<String>,
}

/// A secret with the window in which it counts. Two overlap during a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub id: String,
    /// AES-256-GCM under the deployment's key; base64 of nonce and ciphertext.
    pub sealed: String,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
}

/// An MCP server and its tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub name: String,
    /// Streamable HTTP endpoint.
    pub endpoint: String,
    /// Which tools may be called.
    pub tools: Vec<String>,
    /// Milliseconds after which a call is given up, unless the step is stricter.
    pub timeout_ms: u64,
}

/// Rego modules; all policies of a tenant make one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// File name to Rego text.
    pub modules: Vec<(String, String)>,
    /// `data` documents, a JSON object.
    pub data: Json,
}

/// Who is told of which contexts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub space: Space,
    /// The context kind.
    pub context_kind: String,
    pub target: SubscriptionTarget,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SubscriptionTarget {
    /// Registry id of a workflow definition that the context starts.
    Workflow { workflow: String },
    /// Whoever reads `mesh.notifications` and looks for this subscription.
    Topic,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// As its author wrote it.
    pub yaml: String,
    /// The parsed definition, a JSON object.
    pub definition: Json,
    /// `sha256:` and the lowercase hexadecimal digest of `definition`.
    pub digest: String,
}

/// How a system of record is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// `hubspot`.
    pub system: String,
    pub base_url: String,
    /// The access token.
    pub credential: Secret,
    /// Milliseconds for one call.
    pub timeout_ms: u64,
    /// Calls for one effect before it counts as failed.
    pub max_attempts: u32,
}

impl ResourceKind {
    pub const ALL: [Self; 6] = [
        Self::Source,
        Self::Agent,
        Self::Policy,
        Self::Subscription,
        Self::Workflow,
        Self::Connector,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Agent => "agent",
            Self::Policy => "policy",
            Self::Subscription => "subscription",
            Self::Workflow => "workflow",
            Self::Connector => "connector",
        }
    }
}

impl Resource {
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Source(_) => ResourceKind::Source,
            Self::Agent(_) => ResourceKind::Agent,
            Self::Policy(_) => ResourceKind::Policy,
            Self::Subscription(_) => ResourceKind::Subscription,
            Self::Workflow(_) => ResourceKind::Workflow,
            Self::Connector(_) => ResourceKind::Connector,
        }
    }
}
