//! Published events: their Avro schemas, and the mapping from and to the domain.
//!
//! A private event is not a published event. Each topic has one module with the
//! published form of its events as serde structs, in the order of their schema's
//! fields, and one [`Codec`](domain_kernel::Codec). Optional fields of a
//! published struct read as absent when the writer's schema did not have them
//! yet, which is how older bytes are upcast; `upcast` says what absence means.

mod any;
mod call;
mod callers;
mod catalogue;
#[cfg(test)]
mod chance;
mod contexts;
mod datum;
mod dead_letters;
mod decisions;
mod deliveries;
mod delivery_accepted;
mod effects;
mod executions;
mod form;
mod notifications;
mod outcomes;
mod policy_decided;
mod registry;
mod results;
mod secret;
mod upcast;
mod value;
mod workflow_started;
mod workflows;

pub use any::{AnyEvent, decode_any};
pub use catalogue::{KeyKind, TOPICS, catalogue, published};
pub use contexts::Contexts;
pub use dead_letters::DeadLetters;
pub use decisions::Decisions;
pub use deliveries::Deliveries;
pub use effects::Effects;
pub use executions::Executions;
pub use form::{SchemaEntry, WriterSchema};
pub use notifications::Notifications;
pub use outcomes::Outcomes;
pub use registry::Registry;
pub use results::Results;
pub use workflows::Workflows;
