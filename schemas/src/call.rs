use domain_workflow::ResolvedCall;
use serde::{Deserialize, Serialize};

use crate::value::{Text, Unmappable, json, operation};

/// A resolved call, as a union of two records.
#[derive(Serialize, Deserialize)]
pub(crate) enum Call<'a> {
    #[serde(rename = "cloud.agentmesh.AgentCall")]
    Agent(AgentCall<'a>),
    #[serde(rename = "cloud.agentmesh.EffectCall")]
    Effect(EffectCall<'a>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct AgentCall<'a> {
    agent_id: Text<'a>,
    tool: Text<'a>,
    arguments: Text<'a>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectCall<'a> {
    connector_id: Text<'a>,
    operation: Text<'a>,
    object: Text<'a>,
    id_property: Text<'a>,
    external_id: Text<'a>,
    properties: Text<'a>,
}

impl<'a> From<&'a ResolvedCall> for Call<'a> {
    fn from(call: &'a ResolvedCall) -> Self {
        match call {
            ResolvedCall::Agent {
                agent_id,
                tool,
                arguments,
            } => Self::Agent(AgentCall {
                agent_id: agent_id.into(),
                tool: tool.into(),
                arguments: arguments.as_str().into(),
            }),
            ResolvedCall::Effect {
                connector_id,
                operation,
                object,
                id_property,
                external_id,
                properties,
            } => Self::Effect(EffectCall {
                connector_id: connector_id.into(),
                operation: operation.as_str().into(),
                object: object.into(),
                id_property: id_property.into(),
                external_id: external_id.into(),
                properties: properties.as_str().into(),
            }),
        }
    }
}

impl TryFrom<Call<'_>> for ResolvedCall {
    type Error = Unmappable;

    fn try_from(published: Call<'_>) -> Result<Self, Unmappable> {
        Ok(match published {
            Call::Agent(call) => Self::Agent {
                agent_id: call.agent_id.into_owned(),
                tool: call.tool.into_owned(),
                arguments: json("arguments", call.arguments)?,
            },
            Call::Effect(call) => Self::Effect {
                connector_id: call.connector_id.into_owned(),
                operation: operation(&call.operation)?,
                object: call.object.into_owned(),
                id_property: call.id_property.into_owned(),
                external_id: call.external_id.into_owned(),
                properties: json("properties", call.properties)?,
            },
        })
    }
}
