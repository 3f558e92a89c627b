use domain_kernel::{Json, Space, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// The events of `mesh.registry`; the stream is `<kind>/<id>`.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are the large one"
)]
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
    Key,
    Issuer,
    Certificate,
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
    Key(Key),
    Issuer(Issuer),
    Certificate(Certificate),
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

/// An API key: who holds it and what it opens. The secret itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Who calls with it, as policy and the audit trail name them.
    pub subject: String,
    pub scopes: Vec<String>,
    /// Lowercase hexadecimal SHA-256 of the secret part. The secret has 256 bits
    /// of chance in it, so that a slow hash would add nothing.
    pub secret_sha256: String,
    pub expires_at: Option<Timestamp>,
}

/// An OpenID Connect issuer whose tokens a tenant accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// As it stands in the tokens' `iss`; its keys are found by discovery.
    pub url: String,
    /// A token must be meant for one of these.
    pub audiences: Vec<String>,
    /// Signature algorithms that are accepted, such as `RS256`.
    pub algorithms: Vec<String>,
    /// The most a token may do.
    pub scopes: Vec<String>,
}

/// A client certificate, by the name it was issued to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The distinguished name of its subject as RFC 4514 writes it, or `sha256:`
    /// and the lowercase hexadecimal digest of the certificate.
    pub name: String,
    pub subject: String,
    pub scopes: Vec<String>,
}

impl ResourceKind {
    pub const ALL: [Self; 9] = [
        Self::Source,
        Self::Agent,
        Self::Policy,
        Self::Subscription,
        Self::Workflow,
        Self::Connector,
        Self::Key,
        Self::Issuer,
        Self::Certificate,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Agent => "agent",
            Self::Policy => "policy",
            Self::Subscription => "subscription",
            Self::Workflow => "workflow",
            Self::Connector => "connector",
            Self::Key => "key",
            Self::Issuer => "issuer",
            Self::Certificate => "certificate",
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
            Self::Key(_) => ResourceKind::Key,
            Self::Issuer(_) => ResourceKind::Issuer,
            Self::Certificate(_) => ResourceKind::Certificate,
        }
    }
}
