//! Settings: compiled-in defaults, then a file, then the environment.
//!
//! `defaults.toml` names every setting there is. What a file or the environment
//! sets beyond that is an error that names the key and where it was set, and
//! so is a value of the wrong type or out of range: all of it is found before
//! a port is bound.

mod check;
mod edge;
mod error;
mod layers;
mod secret;
mod settings;

pub use edge::{ClientCertificates, Http, ListenerTls, RateLimits, Tls, TlsVersion};
pub use error::{Error, Origin};
pub use secret::Secret;
pub use settings::{
    AgentServers, Agents, Anthropic, AzureOpenAi, CrmSandbox, DeadLetters, Federation, Gateway,
    Identity, Kafka, OpenAi, Policy, Postgres, Redis, Registry, SchemaRegistry, Secrets, Settings,
    Sync, Telemetry, Workflow,
};
