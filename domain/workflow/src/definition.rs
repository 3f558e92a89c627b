//! What a workflow does, as its author wrote it. Expressions are CEL; they are
//! evaluated outside the domain and reach the decider resolved.

use std::collections::BTreeMap;

use domain_effect::Operation;
use domain_kernel::{Json, Space};
use serde::{Deserialize, Serialize};

/// A CEL expression. It sees `trigger` (kind, space, subject, content),
/// `steps.<name>.output` of finished steps, and `workflow.id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expression(pub String);

/// A saga: what starts it and what it does, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub name: String,
    pub trigger: Trigger,
    pub steps: Vec<Step>,
}

/// Which contexts start a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    pub kind: String,
    pub space: Space,
    /// A boolean; absent means always.
    #[serde(default)]
    pub when: Option<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    /// A boolean; a step whose condition is false is skipped. Absent means always.
    #[serde(default)]
    pub when: Option<Expression>,
    #[serde(flatten)]
    pub call: Call,
    /// Milliseconds from the start of the step until it counts as failed.
    pub deadline_ms: u64,
    /// What undoes the step once it has succeeded.
    #[serde(default)]
    pub compensate: Option<Compensation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compensation {
    #[serde(flatten)]
    pub call: Call,
    pub deadline_ms: u64,
}

/// Exactly one of `agent` and `effect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    Agent(AgentCall),
    Effect(EffectCall),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentCall {
    /// Registry id of the agent.
    pub id: String,
    pub tool: String,
    #[serde(default)]
    pub arguments: BTreeMap<String, Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectCall {
    /// Registry id of the connector.
    pub connector: String,
    pub operation: Operation,
    pub object: String,
    pub id_property: String,
    /// A string.
    pub external_id: Expression,
    #[serde(default)]
    pub properties: BTreeMap<String, Expression>,
}

/// A call whose expressions have been evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ResolvedCall {
    Agent {
        agent_id: String,
        tool: String,
        arguments: Json,
    },
    Effect {
        connector_id: String,
        operation: Operation,
        object: String,
        id_property: String,
        external_id: String,
        properties: Json,
    },
}
