//! Sources, agents, policies, subscriptions, workflow definitions, connectors,
//! and who may call: keys, issuers, certificates.

mod command;
mod decide;
mod error;
mod event;
mod react;
#[cfg(test)]
mod spec;
mod state;

pub use command::{Action, Expected, RegistryCommand};
pub use decide::RegistryDecider;
pub use error::RegistryRejection;
pub use event::{
    Agent, Certificate, Connector, Issuer, Key, Policy, RegistryEvent, Resource, ResourceDefined,
    ResourceKind, ResourceRetired, Secret, Source, Subscription, SubscriptionTarget, Workflow,
};
pub use react::NoRequest;
pub use state::RegistryState;
