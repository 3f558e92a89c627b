use domain_kernel::{Codec, CodecError, DecisionId, Recorded};
use domain_policy::{self as domain, PolicyEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, borrowed, json, owned},
};

const TOPIC: &str = "mesh.decisions";

pub(crate) static DECIDED: Form = Form::new(
    TOPIC,
    "PolicyDecided",
    1,
    include_str!("../avro/mesh.decisions/PolicyDecided/v1.avsc"),
);

/// `mesh.decisions`.
#[derive(Debug, Clone, Copy)]
pub struct Decisions;

impl Codec for Decisions {
    type Event = PolicyEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &PolicyEvent) -> &'static str {
        match event {
            PolicyEvent::Decided(_) => DECIDED.name(),
        }
    }

    fn key(recorded: &Recorded<PolicyEvent>) -> String {
        recorded.meta.correlation.to_string()
    }

    fn encode(event: &PolicyEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            PolicyEvent::Decided(event) => DECIDED.encode(&PolicyDecided::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(name: &str, schema: &WriterSchema, datum: &[u8]) -> Result<PolicyEvent, CodecError> {
        match name {
            "PolicyDecided" => schema
                .read_as::<PolicyDecided<'_>, _>(name, datum)
                .map(PolicyEvent::Decided),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &PolicyEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        PolicyEvent::Decided(event) => serde_json::to_value(PolicyDecided::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PolicyDecided<'a> {
    decision_id: Uuid,
    path: Text<'a>,
    bundle_digest: Text<'a>,
    input: Text<'a>,
    result: Option<Text<'a>>,
    allow: bool,
    reasons: Vec<Text<'a>>,
    engine: Text<'a>,
    duration_us: u64,
}

impl<'a> From<&'a domain::PolicyDecided> for PolicyDecided<'a> {
    fn from(event: &'a domain::PolicyDecided) -> Self {
        Self {
            decision_id: event.decision_id.as_uuid(),
            path: (&event.path).into(),
            bundle_digest: (&event.bundle_digest).into(),
            input: event.input.as_str().into(),
            result: event.result.as_ref().map(|json| json.as_str().into()),
            allow: event.allow,
            reasons: borrowed(&event.reasons),
            engine: (&event.engine).into(),
            duration_us: event.duration_us,
        }
    }
}

impl TryFrom<PolicyDecided<'_>> for domain::PolicyDecided {
    type Error = Unmappable;

    fn try_from(published: PolicyDecided<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            decision_id: DecisionId::from_uuid(published.decision_id),
            path: published.path.into_owned(),
            bundle_digest: published.bundle_digest.into_owned(),
            input: json("input", published.input)?,
            result: published
                .result
                .map(|text| json("result", text))
                .transpose()?,
            allow: published.allow,
            reasons: owned(published.reasons),
            engine: published.engine.into_owned(),
            duration_us: published.duration_us,
        })
    }
}
