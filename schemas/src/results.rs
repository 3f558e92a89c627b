use domain_execution::{self as domain, ExecutionEvent};
use domain_kernel::{Codec, CodecError, ContextId, ExecutionId, Recorded, WorkflowId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, json},
};

const TOPIC: &str = "mesh.results";

pub(crate) static STARTED: Form = Form::new(
    TOPIC,
    "ExecutionStarted",
    1,
    include_str!("../avro/mesh.results/ExecutionStarted/v1.avsc"),
);
pub(crate) static SUCCEEDED: Form = Form::new(
    TOPIC,
    "ExecutionSucceeded",
    1,
    include_str!("../avro/mesh.results/ExecutionSucceeded/v1.avsc"),
);
pub(crate) static FAILED: Form = Form::new(
    TOPIC,
    "ExecutionFailed",
    1,
    include_str!("../avro/mesh.results/ExecutionFailed/v1.avsc"),
);

/// `mesh.results`.
#[derive(Debug, Clone, Copy)]
pub struct Results;

impl Codec for Results {
    type Event = ExecutionEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &ExecutionEvent) -> &'static str {
        match event {
            ExecutionEvent::Started(_) => STARTED.name(),
            ExecutionEvent::Succeeded(_) => SUCCEEDED.name(),
            ExecutionEvent::Failed(_) => FAILED.name(),
        }
    }

    fn key(recorded: &Recorded<ExecutionEvent>) -> String {
        recorded.meta.correlation.to_string()
    }

    fn encode(event: &ExecutionEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            ExecutionEvent::Started(event) => STARTED.encode(&ExecutionStarted::from(event)),
            ExecutionEvent::Succeeded(event) => SUCCEEDED.encode(&ExecutionSucceeded::from(event)),
            ExecutionEvent::Failed(event) => FAILED.encode(&ExecutionFailed::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<ExecutionEvent, CodecError> {
        match name {
            "ExecutionStarted" => schema
                .read_as::<ExecutionStarted<'_>, _>(name, datum)
                .map(ExecutionEvent::Started),
            "ExecutionSucceeded" => schema
                .read_as::<ExecutionSucceeded<'_>, _>(name, datum)
                .map(ExecutionEvent::Succeeded),
            "ExecutionFailed" => schema
                .read_as::<ExecutionFailed<'_>, _>(name, datum)
                .map(ExecutionEvent::Failed),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &ExecutionEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        ExecutionEvent::Started(event) => serde_json::to_value(ExecutionStarted::from(event)),
        ExecutionEvent::Succeeded(event) => serde_json::to_value(ExecutionSucceeded::from(event)),
        ExecutionEvent::Failed(event) => serde_json::to_value(ExecutionFailed::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionStarted<'a> {
    execution_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    agent_id: Text<'a>,
    tool: Text<'a>,
    shown: Vec<Uuid>,
    arguments_sha256: Text<'a>,
    attempt: u32,
}

impl<'a> From<&'a domain::ExecutionStarted> for ExecutionStarted<'a> {
    fn from(event: &'a domain::ExecutionStarted) -> Self {
        Self {
            execution_id: event.execution_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            agent_id: (&event.agent_id).into(),
            tool: (&event.tool).into(),
            shown: event.shown.iter().map(ContextId::as_uuid).collect(),
            arguments_sha256: (&event.arguments_sha256).into(),
            attempt: event.attempt,
        }
    }
}

impl TryFrom<ExecutionStarted<'_>> for domain::ExecutionStarted {
    type Error = Unmappable;

    fn try_from(published: ExecutionStarted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            execution_id: ExecutionId::from_uuid(published.execution_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            agent_id: published.agent_id.into_owned(),
            tool: published.tool.into_owned(),
            shown: published
                .shown
                .into_iter()
                .map(ContextId::from_uuid)
                .collect(),
            arguments_sha256: published.arguments_sha256.into_owned(),
            attempt: published.attempt,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionSucceeded<'a> {
    execution_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    compensation: bool,
    agent_id: Text<'a>,
    output: Text<'a>,
    model: Text<'a>,
    duration_ms: u64,
}

impl<'a> From<&'a domain::ExecutionSucceeded> for ExecutionSucceeded<'a> {
    fn from(event: &'a domain::ExecutionSucceeded) -> Self {
        Self {
            execution_id: event.execution_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            compensation: event.compensation,
            agent_id: (&event.agent_id).into(),
            output: event.output.as_str().into(),
            model: (&event.model).into(),
            duration_ms: event.duration_ms,
        }
    }
}

impl TryFrom<ExecutionSucceeded<'_>> for domain::ExecutionSucceeded {
    type Error = Unmappable;

    fn try_from(published: ExecutionSucceeded<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            execution_id: ExecutionId::from_uuid(published.execution_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            compensation: published.compensation,
            agent_id: published.agent_id.into_owned(),
            output: json("output", published.output)?,
            model: published.model.into_owned(),
            duration_ms: published.duration_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionFailed<'a> {
    execution_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    compensation: bool,
    agent_id: Text<'a>,
    code: Text<'a>,
    reason: Text<'a>,
    duration_ms: u64,
}

impl<'a> From<&'a domain::ExecutionFailed> for ExecutionFailed<'a> {
    fn from(event: &'a domain::ExecutionFailed) -> Self {
        Self {
            execution_id: event.execution_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            compensation: event.compensation,
            agent_id: (&event.agent_id).into(),
            code: (&event.code).into(),
            reason: (&event.reason).into(),
            duration_ms: event.duration_ms,
        }
    }
}

impl TryFrom<ExecutionFailed<'_>> for domain::ExecutionFailed {
    type Error = Unmappable;

    fn try_from(published: ExecutionFailed<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            execution_id: ExecutionId::from_uuid(published.execution_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            compensation: published.compensation,
            agent_id: published.agent_id.into_owned(),
            code: published.code.into_owned(),
            reason: published.reason.into_owned(),
            duration_ms: published.duration_ms,
        })
    }
}
