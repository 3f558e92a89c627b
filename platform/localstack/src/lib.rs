//! The servers AgentMesh stands on, as child processes of this machine: Kafka
//! (KRaft, one node or three), the Apicurio schema registry, Postgres and Redis. No
//! container engine is needed; `deploy/local/install.sh` fetches what they are
//! made of.
//!
//! A stack lives in a directory. Its data stays there between runs, and while
//! it runs `stack.json` in that directory says which processes it consists of,
//! so that a later process can find, use and stop it. Servers that the
//! environment names (`KAFKA_BROKERS`, `SCHEMA_REGISTRY_URL`, `DATABASE_URL`,
//! `REDIS_URL`) are used instead of own ones.

mod endpoints;
mod error;
mod install;
mod options;
mod ports;
mod probe;
mod process;
mod server;
mod sql;
mod stack;
mod state;

pub use endpoints::{Endpoints, Given};
pub use error::Error;
pub use options::{Durability, Ports, StackOptions, default_libs_dir};
pub use ports::{FreePorts, free_port, is_free};
pub use probe::http as answers_http;
pub use process::{Identity, Signal};
pub use sql::execute as execute_sql;
pub use stack::{ServerStatus, Stack};
