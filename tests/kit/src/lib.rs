//! What black-box tests have in common: a mesh of one process a role, a sender
//! that signs as automation tools do, and eyes on everything that leaves a
//! trace: the log, Postgres, Redis, the CRM sandbox.
//!
//! The binary is expected beside the tests: `cargo build -p services-cli`.

mod agent;
mod crm;
mod mesh;
mod observer;
mod rest;
mod sample;
mod sender;

pub use agent::{UnhelpfulAgent, silent_endpoint};
pub use crm::Crm;
pub use mesh::{Mesh, ROLES};
pub use observer::{Observer, PATIENCE, names, of_name};
pub use rest::READ_MODELS;
pub use sample::{KIND, Registrar, SOURCE, TENANT};
pub use sender::{Answer, Sender, Ticket};
