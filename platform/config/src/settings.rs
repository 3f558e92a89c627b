use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::edge::{Http, ListenerTls, RateLimits, Tls, networks};
use crate::secret::{Secret, without_password};
use crate::{Error, check, layers};

/// All settings. `defaults.toml` says what each one means and its default.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Directory of the files this process keeps; vector files live in `vectors/` in it.
    pub data_dir: PathBuf,
    pub kafka: Kafka,
    pub schema_registry: SchemaRegistry,
    pub postgres: Postgres,
    pub redis: Redis,
    pub dead_letters: DeadLetters,
    pub http: Http,
    pub tls: Tls,
    pub gateway: Gateway,
    pub outbound: Outbound,
    pub registry: Registry,
    pub policy: Policy,
    pub federation: Federation,
    pub workflow: Workflow,
    pub agents: Agents,
    pub sync: Sync,
    pub agent_servers: AgentServers,
    pub crm_sandbox: CrmSandbox,
    pub secrets: Secrets,
    pub telemetry: Telemetry,
    pub identity: Identity,
}

impl Settings {
    /// Loads the defaults, then `file` (or `agentmesh.toml` in the working
    /// directory, if there is one), then the environment.
    ///
    /// # Errors
    /// When the file cannot be read, or a key is unknown, or a value is bad.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let standard = Path::new("agentmesh.toml");
        let file = file.or_else(|| standard.exists().then_some(standard));
        let file = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
                    path: path.to_owned(),
                    source,
                })?;
                Some((path, text))
            }
            None => None,
        };
        Self::from_layers(
            file.as_ref().map(|(path, text)| (*path, text.as_str())),
            std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    /// The defaults alone, whatever the files and the environment say.
    ///
    /// # Errors
    /// Never in a released build: a test reads the defaults.
    pub fn defaults() -> Result<Self, Error> {
        Self::from_layers(None, std::iter::empty())
    }

    /// Loads from layers given as values, so that tests need no process environment.
    ///
    /// # Errors
    /// When a key is unknown or a value is bad.
    pub fn from_layers(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let merged = layers::merge(file, environment)?;
        let settings: Self = merged.try_into().map_err(|source| Error::BadValue {
            source: Box::new(source),
        })?;
        check::settings(&settings)?;
        Ok(settings)
    }
}

/// The log.
#[derive(Debug, Clone, Deserialize)]
pub struct Kafka {
    /// Bootstrap servers, `host:port` separated by commas.
    pub brokers: String,
    /// Put before every topic and consumer group name.
    pub topic_prefix: String,
    /// Partitions of each topic, but for the registry's, which has one.
    pub partitions: u32,
    pub replication: u16,
    pub min_insync_replicas: u16,
    pub linger_ms: u32,
    pub message_timeout_ms: u32,
    pub queue_max_messages: u32,
    pub queue_max_bytes: u64,
    pub session_timeout_ms: u32,
    pub max_poll_interval_ms: u32,
    /// The same after a restart, and another for each replica of a role.
    #[serde(deserialize_with = "optional_text")]
    pub instance_id: Option<String>,
    /// In place of `session_timeout_ms` where there is an `instance_id`.
    pub static_session_timeout_ms: u32,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: String,
    #[serde(deserialize_with = "optional_path")]
    pub authorities: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub certificate: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub key: Option<PathBuf>,
    pub sasl_mechanism: String,
    pub sasl_username: String,
    #[serde(deserialize_with = "optional_secret")]
    pub sasl_password: Option<Secret>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SchemaRegistry {
    /// Base of the Confluent API, with or without a slash at the end.
    pub url: String,
    pub timeout_ms: u64,
}

#[derive(Clone, Deserialize)]
pub struct Postgres {
    pub url: String,
    pub pool_size: usize,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("url", &without_password(&self.url))
            .field("pool_size", &self.pool_size)
            .finish()
    }
}

#[derive(Clone, Deserialize)]
pub struct Redis {
    pub url: String,
    /// Put before every key.
    pub key_prefix: String,
    /// Of the server's certificate, for a `rediss://` address.
    #[serde(deserialize_with = "optional_path")]
    pub authorities: Option<PathBuf>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("url", &without_password(&self.url))
            .field("key_prefix", &self.key_prefix)
            .finish()
    }
}

/// How long a record is tried that fails by itself.
#[derive(Debug, Clone, Deserialize)]
pub struct DeadLetters {
    pub attempts: u32,
    pub first_pause_ms: u64,
    pub longest_pause_ms: u64,
    /// For a schema id that the registry does not know.
    pub schema_wait_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Gateway {
    pub listen: SocketAddr,
    /// How senders see the gateway, for schemes that sign the full address.
    #[serde(deserialize_with = "optional_text")]
    pub public_url: Option<String>,
    /// Whose word on whom they forward is taken.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub max_body_bytes: usize,
    pub request_timeout_ms: u64,
    /// How far a signed timestamp may be from now, either way.
    pub timestamp_tolerance_s: u64,
    /// The longest a caller is kept waiting for an agent's answer.
    pub invoke_wait_ms: u64,
    /// How many callers may wait at once.
    pub invoke_concurrency: usize,
    /// Events in the body of one batch.
    pub batch_max_events: usize,
    pub max_concurrent_requests: usize,
    pub admission_queue_records: usize,
    pub rate_limits: RateLimits,
    /// Where http:// is answered with a redirect to `public_url`.
    #[serde(deserialize_with = "optional_address")]
    pub redirect_listen: Option<SocketAddr>,
    pub tls: ListenerTls,
}

/// Where what was registered may be called.
#[derive(Debug, Clone, Deserialize)]
pub struct Outbound {
    #[serde(deserialize_with = "networks")]
    pub allow: Vec<IpNet>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Registry {
    pub listen: SocketAddr,
    pub tls: ListenerTls,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Policy {
    pub listen: SocketAddr,
    pub tls: ListenerTls,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Federation {
    pub listen: SocketAddr,
    pub tls: ListenerTls,
    /// Cosine similarity above which two contexts may be one.
    pub merge_threshold: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Workflow {
    pub tick_ms: u64,
    pub compensation_attempts: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Agents {
    /// How many executions run at once.
    pub concurrency: usize,
    /// How many of those call one agent.
    pub agent_concurrency: usize,
    pub federation_url: String,
    /// How many earlier contexts an agent is shown.
    pub history_limit: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Sync {
    /// How many effects run at once.
    pub concurrency: usize,
    /// How many of those go to one connector.
    pub connector_concurrency: usize,
}

/// The bundled MCP servers of the three sample agents.
#[derive(Debug, Clone, Deserialize)]
pub struct AgentServers {
    pub listen: SocketAddr,
    pub tls: ListenerTls,
    pub openai: OpenAi,
    pub anthropic: Anthropic,
    pub azure_openai: AzureOpenAi,
}

#[derive(Debug, Clone, Deserialize)]
pub struct OpenAi {
    #[serde(deserialize_with = "optional_secret")]
    pub api_key: Option<Secret>,
    pub base_url: String,
    pub model: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Anthropic {
    #[serde(deserialize_with = "optional_secret")]
    pub api_key: Option<Secret>,
    pub base_url: String,
    pub model: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AzureOpenAi {
    #[serde(deserialize_with = "optional_secret")]
    pub api_key: Option<Secret>,
    #[serde(deserialize_with = "optional_text")]
    pub endpoint: Option<String>,
    #[serde(deserialize_with = "optional_text")]
    pub deployment: Option<String>,
    pub api_version: String,
}

/// The CRM for local use.
#[derive(Debug, Clone, Deserialize)]
pub struct CrmSandbox {
    pub listen: SocketAddr,
    pub tls: ListenerTls,
    pub data_dir: PathBuf,
    pub access_token: Secret,
}

/// Where the key comes from under which stored secrets are sealed.
#[derive(Debug, Clone, Deserialize)]
pub struct Secrets {
    /// 32 bytes in base64.
    #[serde(deserialize_with = "optional_secret")]
    pub key: Option<Secret>,
    /// A file that holds them so.
    #[serde(deserialize_with = "optional_path")]
    pub key_file: Option<PathBuf>,
}

/// Who may call the HTTP APIs.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    /// Whether whoever calls must show who they are.
    pub required: bool,
    /// Opens everything of every tenant.
    #[serde(deserialize_with = "optional_secret")]
    pub root_key: Option<Secret>,
    /// How far the clocks of issuers may be from ours.
    pub leeway_s: u64,
    pub jwks_max_age_s: u64,
    pub jwks_refresh_pause_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Telemetry {
    /// Where health, readiness and metrics are served.
    pub ops_listen: SocketAddr,
    pub tls: ListenerTls,
    /// `text` or `json`.
    pub log_format: String,
    /// Directives such as `info,platform_log=debug`.
    pub log_filter: String,
    /// Base of an OTLP/HTTP collector; without it nothing is exported.
    #[serde(deserialize_with = "optional_text")]
    pub otlp_endpoint: Option<String>,
}

fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    optional_text(deserializer)?
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}

pub(crate) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then_some(text))
}

fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(optional_text(deserializer)?.map(Secret::new))
}

pub(crate) fn optional_path<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional_text(deserializer)?.map(PathBuf::from))
}
