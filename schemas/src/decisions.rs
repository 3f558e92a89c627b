use domain_kernel::{Codec, CodecError, Recorded};
use domain_policy::PolicyEvent;

use crate::{
    form::{Form, WriterSchema},
    policy_decided::{self, PolicyDecided},
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
            PolicyEvent::Decided(event) => {
                DECIDED.encode_by(|datum| policy_decided::write(event, datum))
            }
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(name: &str, schema: &WriterSchema, datum: &[u8]) -> Result<PolicyEvent, CodecError> {
        match name {
            "PolicyDecided" => schema
                .read_by::<PolicyDecided<'_>, _>(name, datum, policy_decided::read)
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
