use domain_context::{ContextEvent, NotificationEvent};
use domain_dead_letter::DeadLetterEvent;
use domain_delivery::DeliveryEvent;
use domain_effect::{EffectEvent, EffectRequest};
use domain_execution::{ExecutionEvent, ExecutionRequest};
use domain_kernel::{Codec, CodecError};
use domain_policy::PolicyEvent;
use domain_registry::RegistryEvent;
use domain_workflow::WorkflowEvent;
use serde_json::Value;

use crate::{
    Contexts, DeadLetters, Decisions, Deliveries, Effects, Executions, Notifications, Outcomes,
    Registry, Results, Workflows, WriterSchema, contexts, dead_letters, decisions, deliveries,
    effects, executions, notifications, outcomes, registry, results, workflows,
};

/// An event of any topic, for readers that take them all.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyEvent {
    Delivery(DeliveryEvent),
    Decision(PolicyEvent),
    Context(ContextEvent),
    Notification(NotificationEvent),
    Workflow(WorkflowEvent),
    Execution(ExecutionRequest),
    Result(ExecutionEvent),
    Effect(EffectRequest),
    Outcome(EffectEvent),
    Registry(RegistryEvent),
    DeadLetter(DeadLetterEvent),
}

/// Fields of published events whose text is JSON: they are marked in the schemas
/// with `contentMediaType`, and shown as JSON rather than as quoted text.
const JSON_FIELDS: [&str; 8] = [
    "arguments",
    "content",
    "data",
    "definition",
    "input",
    "output",
    "properties",
    "result",
];

impl AnyEvent {
    /// The record name, such as `DeliveryAccepted`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delivery(event) => Deliveries::name(event),
            Self::Decision(event) => Decisions::name(event),
            Self::Context(event) => Contexts::name(event),
            Self::Notification(event) => Notifications::name(event),
            Self::Workflow(event) => Workflows::name(event),
            Self::Execution(event) => Executions::name(event),
            Self::Result(event) => Results::name(event),
            Self::Effect(event) => Effects::name(event),
            Self::Outcome(event) => Outcomes::name(event),
            Self::Registry(event) => Registry::name(event),
            Self::DeadLetter(event) => DeadLetters::name(event),
        }
    }

    /// The topic, without any prefix.
    pub const fn topic(&self) -> &'static str {
        match self {
            Self::Delivery(_) => Deliveries::TOPIC,
            Self::Decision(_) => Decisions::TOPIC,
            Self::Context(_) => Contexts::TOPIC,
            Self::Notification(_) => Notifications::TOPIC,
            Self::Workflow(_) => Workflows::TOPIC,
            Self::Execution(_) => Executions::TOPIC,
            Self::Result(_) => Results::TOPIC,
            Self::Effect(_) => Effects::TOPIC,
            Self::Outcome(_) => Outcomes::TOPIC,
            Self::Registry(_) => Registry::TOPIC,
            Self::DeadLetter(_) => DeadLetters::TOPIC,
        }
    }

    /// The datum in the current version of the published schema, without framing.
    ///
    /// # Errors
    /// When a value does not fit its schema.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Delivery(event) => Deliveries::encode(event),
            Self::Decision(event) => Decisions::encode(event),
            Self::Context(event) => Contexts::encode(event),
            Self::Notification(event) => Notifications::encode(event),
            Self::Workflow(event) => Workflows::encode(event),
            Self::Execution(event) => Executions::encode(event),
            Self::Result(event) => Results::encode(event),
            Self::Effect(event) => Effects::encode(event),
            Self::Outcome(event) => Outcomes::encode(event),
            Self::Registry(event) => Registry::encode(event),
            Self::DeadLetter(event) => DeadLetters::encode(event),
        }
    }

    /// The published fields as a JSON object, for people and their tools. Bodies
    /// are text or base64, JSON text is JSON, secrets stay sealed.
    ///
    /// # Errors
    /// When a field cannot be written as JSON, which a number that is not finite cannot.
    pub fn to_json(&self) -> Result<Value, CodecError> {
        let rendered = match self {
            Self::Delivery(event) => deliveries::render(event),
            Self::Decision(event) => decisions::render(event),
            Self::Context(event) => contexts::render(event),
            Self::Notification(event) => notifications::render(event),
            Self::Workflow(event) => workflows::render(event),
            Self::Execution(event) => executions::render(event),
            Self::Result(event) => results::render(event),
            Self::Effect(event) => effects::render(event),
            Self::Outcome(event) => outcomes::render(event),
            Self::Registry(event) => registry::render(event),
            Self::DeadLetter(event) => dead_letters::render(event),
        };
        rendered.map(unfold).map_err(|source| CodecError::Encode {
            name: self.name(),
            source: Box::new(source),
        })
    }
}

/// Replaces JSON text by what it says. Text that `Value` cannot hold, such as the
/// number 1e400, stays text.
fn unfold(rendered: Value) -> Value {
    match rendered {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::String(text) if JSON_FIELDS.contains(&name.as_str()) => {
                        serde_json::from_str(&text).unwrap_or(Value::String(text))
                    }
                    other => unfold(other),
                };
                let name = match name.strip_prefix("cloud.agentmesh.") {
                    Some(record) => record.to_owned(),
                    None => name,
                };
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(unfold).collect(),
        other => other,
    }
}

/// Reads a datum of any topic.
///
/// # Errors
/// When topic or name is unknown or the bytes do not follow the schema.
pub fn decode_any(
    topic: &str,
    name: &str,
    schema: &WriterSchema,
    datum: &[u8],
) -> Result<AnyEvent, CodecError> {
    match topic {
        Deliveries::TOPIC => Deliveries::decode(name, schema, datum).map(AnyEvent::Delivery),
        Decisions::TOPIC => Decisions::decode(name, schema, datum).map(AnyEvent::Decision),
        Contexts::TOPIC => Contexts::decode(name, schema, datum).map(AnyEvent::Context),
        Notifications::TOPIC => {
            Notifications::decode(name, schema, datum).map(AnyEvent::Notification)
        }
        Workflows::TOPIC => Workflows::decode(name, schema, datum).map(AnyEvent::Workflow),
        Executions::TOPIC => Executions::decode(name, schema, datum).map(AnyEvent::Execution),
        Results::TOPIC => Results::decode(name, schema, datum).map(AnyEvent::Result),
        Effects::TOPIC => Effects::decode(name, schema, datum).map(AnyEvent::Effect),
        Outcomes::TOPIC => Outcomes::decode(name, schema, datum).map(AnyEvent::Outcome),
        Registry::TOPIC => Registry::decode(name, schema, datum).map(AnyEvent::Registry),
        DeadLetters::TOPIC => DeadLetters::decode(name, schema, datum).map(AnyEvent::DeadLetter),
        _ => Err(CodecError::UnknownEvent {
            topic: "unknown",
            name: format!("{topic}/{name}"),
        }),
    }
}
