use domain_effect::{self as domain, EffectRequest};
use domain_kernel::{Codec, CodecError, EffectId, Recorded, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, json, operation},
};

const TOPIC: &str = "mesh.effects";

pub(crate) static REQUESTED: Form = Form::new(
    TOPIC,
    "EffectRequested",
    1,
    include_str!("../avro/mesh.effects/EffectRequested/v1.avsc"),
);
pub(crate) static CANCELLED: Form = Form::new(
    TOPIC,
    "EffectCancelled",
    1,
    include_str!("../avro/mesh.effects/EffectCancelled/v1.avsc"),
);

/// `mesh.effects`.
#[derive(Debug, Clone, Copy)]
pub struct Effects;

impl Codec for Effects {
    type Event = EffectRequest;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &EffectRequest) -> &'static str {
        match event {
            EffectRequest::Requested(_) => REQUESTED.name(),
            EffectRequest::Cancelled(_) => CANCELLED.name(),
        }
    }

    fn key(recorded: &Recorded<EffectRequest>) -> String {
        let (connector, object, external_id) = match &recorded.event {
            EffectRequest::Requested(event) => {
                (&event.connector_id, &event.object, &event.external_id)
            }
            EffectRequest::Cancelled(event) => {
                (&event.connector_id, &event.object, &event.external_id)
            }
        };
        format!("{connector}/{object}/{external_id}")
    }

    fn encode(event: &EffectRequest) -> Result<Vec<u8>, CodecError> {
        match event {
            EffectRequest::Requested(event) => REQUESTED.encode(&EffectRequested::from(event)),
            EffectRequest::Cancelled(event) => CANCELLED.encode(&EffectCancelled::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<EffectRequest, CodecError> {
        match name {
            "EffectRequested" => schema
                .read_as::<EffectRequested<'_>, _>(name, datum)
                .map(EffectRequest::Requested),
            "EffectCancelled" => schema
                .read_as::<EffectCancelled<'_>, _>(name, datum)
                .map(EffectRequest::Cancelled),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &EffectRequest) -> serde_json::Result<serde_json::Value> {
    match event {
        EffectRequest::Requested(event) => serde_json::to_value(EffectRequested::from(event)),
        EffectRequest::Cancelled(event) => serde_json::to_value(EffectCancelled::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectRequested<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    compensation: bool,
    connector_id: Text<'a>,
    operation: Text<'a>,
    object: Text<'a>,
    id_property: Text<'a>,
    external_id: Text<'a>,
    properties: Text<'a>,
    deadline: i64,
}

impl<'a> From<&'a domain::EffectRequested> for EffectRequested<'a> {
    fn from(event: &'a domain::EffectRequested) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            compensation: event.compensation,
            connector_id: (&event.connector_id).into(),
            operation: event.operation.as_str().into(),
            object: (&event.object).into(),
            id_property: (&event.id_property).into(),
            external_id: (&event.external_id).into(),
            properties: event.properties.as_str().into(),
            deadline: event.deadline.as_micros(),
        }
    }
}

impl TryFrom<EffectRequested<'_>> for domain::EffectRequested {
    type Error = Unmappable;

    fn try_from(published: EffectRequested<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            compensation: published.compensation,
            connector_id: published.connector_id.into_owned(),
            operation: operation(&published.operation)?,
            object: published.object.into_owned(),
            id_property: published.id_property.into_owned(),
            external_id: published.external_id.into_owned(),
            properties: json("properties", published.properties)?,
            deadline: Timestamp::from_micros(published.deadline),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectCancelled<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    connector_id: Text<'a>,
    object: Text<'a>,
    external_id: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::EffectCancelled> for EffectCancelled<'a> {
    fn from(event: &'a domain::EffectCancelled) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            connector_id: (&event.connector_id).into(),
            object: (&event.object).into(),
            external_id: (&event.external_id).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<EffectCancelled<'_>> for domain::EffectCancelled {
    type Error = Unmappable;

    fn try_from(published: EffectCancelled<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            connector_id: published.connector_id.into_owned(),
            object: published.object.into_owned(),
            external_id: published.external_id.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}
