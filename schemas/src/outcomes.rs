use domain_effect::{self as domain, EffectEvent};
use domain_kernel::{Codec, CodecError, EffectId, Recorded, WorkflowId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    upcast,
    value::{Text, Unmappable, maybe_borrowed, maybe_owned, operation},
};

const TOPIC: &str = "mesh.outcomes";

pub(crate) static ATTEMPTED: Form = Form::new(
    TOPIC,
    "EffectAttempted",
    1,
    include_str!("../avro/mesh.outcomes/EffectAttempted/v1.avsc"),
);
pub(crate) static CONFIRMED: Form = Form::new(
    TOPIC,
    "EffectConfirmed",
    2,
    include_str!("../avro/mesh.outcomes/EffectConfirmed/v2.avsc"),
)
.after(&[include_str!(
    "../avro/mesh.outcomes/EffectConfirmed/v1.avsc"
)]);
pub(crate) static FAILED: Form = Form::new(
    TOPIC,
    "EffectFailed",
    1,
    include_str!("../avro/mesh.outcomes/EffectFailed/v1.avsc"),
);
pub(crate) static UNKNOWN: Form = Form::new(
    TOPIC,
    "EffectUnknown",
    1,
    include_str!("../avro/mesh.outcomes/EffectUnknown/v1.avsc"),
);
pub(crate) static RECONCILED: Form = Form::new(
    TOPIC,
    "EffectReconciled",
    1,
    include_str!("../avro/mesh.outcomes/EffectReconciled/v1.avsc"),
);

/// `mesh.outcomes`.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes;

impl Codec for Outcomes {
    type Event = EffectEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &EffectEvent) -> &'static str {
        match event {
            EffectEvent::Attempted(_) => ATTEMPTED.name(),
            EffectEvent::Confirmed(_) => CONFIRMED.name(),
            EffectEvent::Failed(_) => FAILED.name(),
            EffectEvent::Unknown(_) => UNKNOWN.name(),
            EffectEvent::Reconciled(_) => RECONCILED.name(),
        }
    }

    fn key(recorded: &Recorded<EffectEvent>) -> String {
        recorded.meta.correlation.to_string()
    }

    fn encode(event: &EffectEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            EffectEvent::Attempted(event) => ATTEMPTED.encode(&EffectAttempted::from(event)),
            EffectEvent::Confirmed(event) => CONFIRMED.encode(&EffectConfirmed::from(event)),
            EffectEvent::Failed(event) => FAILED.encode(&EffectFailed::from(event)),
            EffectEvent::Unknown(event) => UNKNOWN.encode(&EffectUnknown::from(event)),
            EffectEvent::Reconciled(event) => RECONCILED.encode(&EffectReconciled::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(name: &str, schema: &WriterSchema, datum: &[u8]) -> Result<EffectEvent, CodecError> {
        match name {
            "EffectAttempted" => schema
                .read_as::<EffectAttempted<'_>, _>(name, datum)
                .map(EffectEvent::Attempted),
            "EffectConfirmed" => schema
                .read_as::<EffectConfirmed<'_>, _>(name, datum)
                .map(EffectEvent::Confirmed),
            "EffectFailed" => schema
                .read_as::<EffectFailed<'_>, _>(name, datum)
                .map(EffectEvent::Failed),
            "EffectUnknown" => schema
                .read_as::<EffectUnknown<'_>, _>(name, datum)
                .map(EffectEvent::Unknown),
            "EffectReconciled" => schema
                .read_as::<EffectReconciled<'_>, _>(name, datum)
                .map(EffectEvent::Reconciled),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &EffectEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        EffectEvent::Attempted(event) => serde_json::to_value(EffectAttempted::from(event)),
        EffectEvent::Confirmed(event) => serde_json::to_value(EffectConfirmed::from(event)),
        EffectEvent::Failed(event) => serde_json::to_value(EffectFailed::from(event)),
        EffectEvent::Unknown(event) => serde_json::to_value(EffectUnknown::from(event)),
        EffectEvent::Reconciled(event) => serde_json::to_value(EffectReconciled::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectAttempted<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    connector_id: Text<'a>,
    operation: Text<'a>,
    object: Text<'a>,
    external_id: Text<'a>,
    attempt: u32,
}

impl<'a> From<&'a domain::EffectAttempted> for EffectAttempted<'a> {
    fn from(event: &'a domain::EffectAttempted) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            connector_id: (&event.connector_id).into(),
            operation: event.operation.as_str().into(),
            object: (&event.object).into(),
            external_id: (&event.external_id).into(),
            attempt: event.attempt,
        }
    }
}

impl TryFrom<EffectAttempted<'_>> for domain::EffectAttempted {
    type Error = Unmappable;

    fn try_from(published: EffectAttempted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            connector_id: published.connector_id.into_owned(),
            operation: operation(&published.operation)?,
            object: published.object.into_owned(),
            external_id: published.external_id.into_owned(),
            attempt: published.attempt,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectConfirmed<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    compensation: bool,
    connector_id: Text<'a>,
    remote_id: Text<'a>,
    remote_version: Text<'a>,
    properties_sha256: Text<'a>,
    /// Since version 2.
    #[serde(default)]
    evidence: Option<Text<'a>>,
}

impl<'a> From<&'a domain::EffectConfirmed> for EffectConfirmed<'a> {
    fn from(event: &'a domain::EffectConfirmed) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            compensation: event.compensation,
            connector_id: (&event.connector_id).into(),
            remote_id: (&event.remote_id).into(),
            remote_version: (&event.remote_version).into(),
            properties_sha256: (&event.properties_sha256).into(),
            evidence: upcast::evidence_stated(event.evidence),
        }
    }
}

impl TryFrom<EffectConfirmed<'_>> for domain::EffectConfirmed {
    type Error = Unmappable;

    fn try_from(published: EffectConfirmed<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            compensation: published.compensation,
            connector_id: published.connector_id.into_owned(),
            remote_id: published.remote_id.into_owned(),
            remote_version: published.remote_version.into_owned(),
            properties_sha256: published.properties_sha256.into_owned(),
            evidence: upcast::evidence(published.evidence)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectFailed<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    compensation: bool,
    connector_id: Text<'a>,
    code: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::EffectFailed> for EffectFailed<'a> {
    fn from(event: &'a domain::EffectFailed) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            compensation: event.compensation,
            connector_id: (&event.connector_id).into(),
            code: (&event.code).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<EffectFailed<'_>> for domain::EffectFailed {
    type Error = Unmappable;

    fn try_from(published: EffectFailed<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            compensation: published.compensation,
            connector_id: published.connector_id.into_owned(),
            code: published.code.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectUnknown<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    connector_id: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::EffectUnknown> for EffectUnknown<'a> {
    fn from(event: &'a domain::EffectUnknown) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            connector_id: (&event.connector_id).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<EffectUnknown<'_>> for domain::EffectUnknown {
    type Error = Unmappable;

    fn try_from(published: EffectUnknown<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            connector_id: published.connector_id.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EffectReconciled<'a> {
    effect_id: Uuid,
    workflow_id: Uuid,
    step: Text<'a>,
    connector_id: Text<'a>,
    found: bool,
    remote_id: Option<Text<'a>>,
}

impl<'a> From<&'a domain::EffectReconciled> for EffectReconciled<'a> {
    fn from(event: &'a domain::EffectReconciled) -> Self {
        Self {
            effect_id: event.effect_id.as_uuid(),
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            connector_id: (&event.connector_id).into(),
            found: event.found,
            remote_id: maybe_borrowed(&event.remote_id),
        }
    }
}

impl TryFrom<EffectReconciled<'_>> for domain::EffectReconciled {
    type Error = Unmappable;

    fn try_from(published: EffectReconciled<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            effect_id: EffectId::from_uuid(published.effect_id),
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            connector_id: published.connector_id.into_owned(),
            found: published.found,
            remote_id: maybe_owned(published.remote_id),
        })
    }
}
