use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use domain_delivery::{self as domain, DeliveryEvent};
use domain_kernel::{Codec, CodecError, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    delivery_accepted::{self, DeliveryAccepted},
    form::{Form, WriterSchema},
    value::{Text, Unmappable, space},
};

const TOPIC: &str = "mesh.deliveries";

pub(crate) static ACCEPTED: Form = Form::new(
    TOPIC,
    "DeliveryAccepted",
    2,
    include_str!("../avro/mesh.deliveries/DeliveryAccepted/v2.avsc"),
)
.after(&[include_str!(
    "../avro/mesh.deliveries/DeliveryAccepted/v1.avsc"
)]);
pub(crate) static REFUSED: Form = Form::new(
    TOPIC,
    "DeliveryRefused",
    1,
    include_str!("../avro/mesh.deliveries/DeliveryRefused/v1.avsc"),
);

/// `mesh.deliveries`.
#[derive(Debug, Clone, Copy)]
pub struct Deliveries;

impl Codec for Deliveries {
    type Event = DeliveryEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &DeliveryEvent) -> &'static str {
        match event {
            DeliveryEvent::Accepted(_) => ACCEPTED.name(),
            DeliveryEvent::Refused(_) => REFUSED.name(),
        }
    }

    fn key(recorded: &Recorded<DeliveryEvent>) -> String {
        let space = match &recorded.event {
            DeliveryEvent::Accepted(accepted) => &accepted.space,
            DeliveryEvent::Refused(refused) => &refused.space,
        };
        format!("{}/{space}", recorded.meta.tenant)
    }

    fn encode(event: &DeliveryEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            DeliveryEvent::Accepted(accepted) => {
                ACCEPTED.encode_by(|datum| delivery_accepted::write(accepted, datum))
            }
            DeliveryEvent::Refused(refused) => REFUSED.encode(&DeliveryRefused::from(refused)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<DeliveryEvent, CodecError> {
        match name {
            "DeliveryAccepted" => schema
                .read_by::<DeliveryAccepted<'_>, _>(name, datum, delivery_accepted::read)
                .map(DeliveryEvent::Accepted),
            "DeliveryRefused" => schema
                .read_as::<DeliveryRefused<'_>, _>(name, datum)
                .map(DeliveryEvent::Refused),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering. The body, which may be large
/// and need not be text, is shown as text or as base64, not as an array of numbers.
pub(crate) fn render(event: &DeliveryEvent) -> serde_json::Result<Value> {
    match event {
        DeliveryEvent::Accepted(event) => {
            let mut published = DeliveryAccepted::from(event);
            published.body = Cow::Borrowed(&[]);
            let mut rendered = serde_json::to_value(published)?;
            let (body, encoding) = match std::str::from_utf8(&event.body) {
                Ok(text) => (text.to_owned(), "utf-8"),
                Err(_) => (STANDARD.encode(&event.body), "base64"),
            };
            rendered["body"] = body.into();
            rendered["body_encoding"] = encoding.into();
            Ok(rendered)
        }
        DeliveryEvent::Refused(event) => serde_json::to_value(DeliveryRefused::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DeliveryRefused<'a> {
    source_id: Text<'a>,
    space: Text<'a>,
    reason: Text<'a>,
    detail: Text<'a>,
    body_sha256: Text<'a>,
    body_size: u64,
}

impl<'a> From<&'a domain::DeliveryRefused> for DeliveryRefused<'a> {
    fn from(event: &'a domain::DeliveryRefused) -> Self {
        Self {
            source_id: (&event.source_id).into(),
            space: event.space.as_str().into(),
            reason: event.reason.as_str().into(),
            detail: (&event.detail).into(),
            body_sha256: (&event.body_sha256).into(),
            body_size: event.body_size,
        }
    }
}

impl TryFrom<DeliveryRefused<'_>> for domain::DeliveryRefused {
    type Error = Unmappable;

    fn try_from(published: DeliveryRefused<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            source_id: published.source_id.into_owned(),
            space: space(published.space),
            reason: published.reason.parse()?,
            detail: published.detail.into_owned(),
            body_sha256: published.body_sha256.into_owned(),
            body_size: published.body_size,
        })
    }
}
