use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use domain_delivery::{self as domain, DeliveryEvent};
use domain_kernel::{Codec, CodecError, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, bytes, maybe_borrowed, maybe_owned, space},
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
            DeliveryEvent::Accepted(accepted) => ACCEPTED.encode(&DeliveryAccepted::from(accepted)),
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
                .read_as::<DeliveryAccepted<'_>, _>(name, datum)
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
            let mut rendered = serde_json::to_value(DeliveryAccepted {
                body: Cow::Borrowed(&[]),
                ..DeliveryAccepted::from(event)
            })?;
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
pub(crate) struct DeliveryAccepted<'a> {
    source_id: Text<'a>,
    delivery_id: Text<'a>,
    space: Text<'a>,
    scheme: Text<'a>,
    auth: Text<'a>,
    key_id: Option<Text<'a>>,
    content_type: Text<'a>,
    #[serde(with = "bytes")]
    body: Cow<'a, [u8]>,
    body_sha256: Text<'a>,
    signed_headers: Vec<Header<'a>>,
    event_type: Text<'a>,
    subject: Option<Text<'a>>,
    // Since version 2. Before it, URIs were signed but not kept, and nothing
    // was put into quarantine.
    #[serde(default)]
    request_method: Option<Text<'a>>,
    #[serde(default)]
    request_uri: Option<Text<'a>>,
    #[serde(default)]
    source_version: Option<u64>,
    #[serde(default)]
    quarantine: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    name: Text<'a>,
    value: Text<'a>,
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

impl<'a> From<&'a domain::DeliveryAccepted> for DeliveryAccepted<'a> {
    fn from(event: &'a domain::DeliveryAccepted) -> Self {
        Self {
            source_id: (&event.source_id).into(),
            delivery_id: (&event.delivery_id).into(),
            space: event.space.as_str().into(),
            scheme: (&event.scheme).into(),
            auth: event.auth.as_str().into(),
            key_id: maybe_borrowed(&event.key_id),
            content_type: (&event.content_type).into(),
            body: (&event.body).into(),
            body_sha256: (&event.body_sha256).into(),
            signed_headers: event
                .signed_headers
                .iter()
                .map(|(name, value)| Header {
                    name: name.into(),
                    value: value.into(),
                })
                .collect(),
            event_type: (&event.event_type).into(),
            subject: maybe_borrowed(&event.subject),
            request_method: event.request.as_ref().map(|line| (&line.method).into()),
            request_uri: event.request.as_ref().map(|line| (&line.uri).into()),
            source_version: event.source_version,
            quarantine: event.quarantine.map(|why| why.as_str().into()),
        }
    }
}

impl TryFrom<DeliveryAccepted<'_>> for domain::DeliveryAccepted {
    type Error = Unmappable;

    fn try_from(published: DeliveryAccepted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            source_id: published.source_id.into_owned(),
            delivery_id: published.delivery_id.into_owned(),
            space: space(published.space),
            scheme: published.scheme.into_owned(),
            auth: published.auth.parse()?,
            key_id: maybe_owned(published.key_id),
            content_type: published.content_type.into_owned(),
            body: published.body.into_owned(),
            body_sha256: published.body_sha256.into_owned(),
            signed_headers: published
                .signed_headers
                .into_iter()
                .map(|header| (header.name.into_owned(), header.value.into_owned()))
                .collect(),
            event_type: published.event_type.into_owned(),
            subject: maybe_owned(published.subject),
            request: match (published.request_method, published.request_uri) {
                (Some(method), Some(uri)) => Some(domain::RequestLine {
                    method: method.into_owned(),
                    uri: uri.into_owned(),
                }),
                _ => None,
            },
            source_version: published.source_version,
            quarantine: match published.quarantine {
                Some(why) => Some(why.parse()?),
                None => None,
            },
        })
    }
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
