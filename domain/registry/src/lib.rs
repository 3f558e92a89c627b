//! Sources, agents, policies, subscriptions, workflow definitions, connectors.

mod event;

pub use event::{
    Agent, Connector, Policy, RegistryEvent, Resource, ResourceDefined, ResourceKind,
    ResourceRetired, Secret, Source, Subscription, SubscriptionTarget, Workflow,
};
