use domain_execution::{self as domain, ExecutionRequest};
use domain_kernel::{Codec, CodecError, ExecutionId, Recorded, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, json, space},
};

const TOPIC: &str = "mesh.executions";

pub(crate) static REQUESTED: Form = Form::new(
    TOPIC,
    "ExecutionRequested",
    1,
    include_str!("../avro/mesh.executions/ExecutionRequested/v1.avsc"),
);
pub(crate) static CANCELLED: Form = Form::new(
    TOPIC,
    "ExecutionCancelled",
    1,
    include_str!("../avro/mesh.executions/ExecutionCancelled/v1.avsc"),
);

/// `mesh.executions`.
#[derive(Debug, Clone, Copy)]
pub struct Executions;

impl Codec for Executions {
    type Event = ExecutionRequest;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &ExecutionRequest) -> &'static str {
        match event {
            ExecutionRequest::Requested(_) => REQUESTED.name(),
            ExecutionRequest::Cancelled(_) => CANCELLED.name(),
        }
    }

    fn key(recorded: &Recorded<ExecutionRequest>) -> String {
        recorded.meta.correlation.to_string()
    }

    fn encode(event: &ExecutionRequest) -> Result<Vec<u8>, CodecError> {
        match event {
            ExecutionRequest::Requested(event) => {
                REQUESTED.encode(&ExecutionRequested::from(event))
            }
            ExecutionRequest::Cancelled(event) => {
                CANCELLED.encode(&ExecutionCancelled::from(event))
            }
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<ExecutionRequest, CodecError> {
        match name {
            "ExecutionRequested" => schema
                .read_as::<ExecutionRequested<'_>, _>(name, datum)
                .map(ExecutionRequest::Requested),
            "ExecutionCancelled" => schema
                .read_as::<ExecutionCancelled<'_>, _>(name, datum)
                .map(ExecutionRequest::Cancelled),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &ExecutionRequest) -> serde_json::Result<serde_json::Value> {
    match event {
        ExecutionRequest::Requested(event) => serde_json::to_value(ExecutionRequested::from(event)),
        ExecutionRequest::Cancelled(event) => serde_json::to_value(ExecutionCancelled::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionRequested<'a> {
    execution_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    compensation: bool,
    agent_id: Text<'a>,
    tool: Text<'a>,
    arguments: Text<'a>,
    space: Text<'a>,
    subject: Text<'a>,
    deadline: i64,
}

impl<'a> From<&'a domain::ExecutionRequested> for ExecutionRequested<'a> {
    fn from(event: &'a domain::ExecutionRequested) -> Self {
        Self {
            execution_id: event.execution_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            compensation: event.compensation,
            agent_id: (&event.agent_id).into(),
            tool: (&event.tool).into(),
            arguments: event.arguments.as_str().into(),
            space: event.space.as_str().into(),
            subject: (&event.subject).into(),
            deadline: event.deadline.as_micros(),
        }
    }
}

impl TryFrom<ExecutionRequested<'_>> for domain::ExecutionRequested {
    type Error = Unmappable;

    fn try_from(published: ExecutionRequested<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            execution_id: ExecutionId::from_uuid(published.execution_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            compensation: published.compensation,
            agent_id: published.agent_id.into_owned(),
            tool: published.tool.into_owned(),
            arguments: json("arguments", published.arguments)?,
            space: space(published.space),
            subject: published.subject.into_owned(),
            deadline: Timestamp::from_micros(published.deadline),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionCancelled<'a> {
    execution_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::ExecutionCancelled> for ExecutionCancelled<'a> {
    fn from(event: &'a domain::ExecutionCancelled) -> Self {
        Self {
            execution_id: event.execution_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<ExecutionCancelled<'_>> for domain::ExecutionCancelled {
    type Error = Unmappable;

    fn try_from(published: ExecutionCancelled<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            execution_id: ExecutionId::from_uuid(published.execution_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}
