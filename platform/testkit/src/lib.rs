//! Real servers for tests.
//!
//! One Kafka, schema registry, Postgres and Redis serve all test processes of
//! a checkout. The first test that needs them starts them, they stay for later
//! runs, and `make test` stops them at its end. A test gets a [`TestBed`] of
//! its own on them: a fresh database, topic prefix, key prefix and directory,
//! so tests neither see nor wait for each other.

mod bed;
mod eventually;
mod ports;
mod proc;
mod stack;

pub use bed::TestBed;
pub use eventually::{Probe, eventually};
pub use platform_localstack::{Durability, Endpoints, Identity, Signal, Stack, StackOptions};
pub use platform_localstack::{Given, Ports, answers_http, default_libs_dir};
pub use ports::free_port;
pub use proc::Proc;
pub use stack::{shared_endpoints, stop_shared_stack, workspace_dir};
