use domain_context::{self as domain, ContextEvent};
use domain_kernel::{Codec, CodecError, ContextId, EventId, Recorded};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, borrowed, json, owned, space},
};

const TOPIC: &str = "mesh.contexts";

pub(crate) static SHARED: Form = Form::new(
    TOPIC,
    "ContextShared",
    1,
    include_str!("../avro/mesh.contexts/ContextShared/v1.avsc"),
);
pub(crate) static MERGED: Form = Form::new(
    TOPIC,
    "ContextMerged",
    1,
    include_str!("../avro/mesh.contexts/ContextMerged/v1.avsc"),
);

/// `mesh.contexts`.
#[derive(Debug, Clone, Copy)]
pub struct Contexts;

impl Codec for Contexts {
    type Event = ContextEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &ContextEvent) -> &'static str {
        match event {
            ContextEvent::Shared(_) => SHARED.name(),
            ContextEvent::Merged(_) => MERGED.name(),
        }
    }

    fn key(recorded: &Recorded<ContextEvent>) -> String {
        let space = match &recorded.event {
            ContextEvent::Shared(event) => &event.space,
            ContextEvent::Merged(event) => &event.space,
        };
        format!("{}/{space}", recorded.meta.tenant)
    }

    fn encode(event: &ContextEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            ContextEvent::Shared(event) => SHARED.encode(&ContextShared::from(event)),
            ContextEvent::Merged(event) => MERGED.encode(&ContextMerged::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(name: &str, schema: &WriterSchema, datum: &[u8]) -> Result<ContextEvent, CodecError> {
        match name {
            "ContextShared" => schema
                .read_as::<ContextShared<'_>, _>(name, datum)
                .map(ContextEvent::Shared),
            "ContextMerged" => schema
                .read_as::<ContextMerged<'_>, _>(name, datum)
                .map(ContextEvent::Merged),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &ContextEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        ContextEvent::Shared(event) => serde_json::to_value(ContextShared::from(event)),
        ContextEvent::Merged(event) => serde_json::to_value(ContextMerged::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ContextShared<'a> {
    context_id: Uuid,
    space: Text<'a>,
    kind: Text<'a>,
    subject: Text<'a>,
    delivery: Uuid,
    source_id: Text<'a>,
    content: Text<'a>,
    content_sha256: Text<'a>,
    text: Text<'a>,
    model_digest: Text<'a>,
    neighbour: Option<Neighbour<'a>>,
    subscribers: Vec<Text<'a>>,
}

impl<'a> From<&'a domain::ContextShared> for ContextShared<'a> {
    fn from(event: &'a domain::ContextShared) -> Self {
        Self {
            context_id: event.context_id.as_uuid(),
            space: event.space.as_str().into(),
            kind: (&event.kind).into(),
            subject: (&event.subject).into(),
            delivery: event.delivery.as_uuid(),
            source_id: (&event.source_id).into(),
            content: event.content.as_str().into(),
            content_sha256: (&event.content_sha256).into(),
            text: (&event.text).into(),
            model_digest: (&event.model_digest).into(),
            neighbour: event.neighbour.as_ref().map(Into::into),
            subscribers: borrowed(&event.subscribers),
        }
    }
}

impl TryFrom<ContextShared<'_>> for domain::ContextShared {
    type Error = Unmappable;

    fn try_from(published: ContextShared<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            context_id: ContextId::from_uuid(published.context_id),
            space: space(published.space),
            kind: published.kind.into_owned(),
            subject: published.subject.into_owned(),
            delivery: EventId::from_uuid(published.delivery),
            source_id: published.source_id.into_owned(),
            content: json("content", published.content)?,
            content_sha256: published.content_sha256.into_owned(),
            text: published.text.into_owned(),
            model_digest: published.model_digest.into_owned(),
            neighbour: published.neighbour.map(TryInto::try_into).transpose()?,
            subscribers: owned(published.subscribers),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ContextMerged<'a> {
    context_id: Uuid,
    space: Text<'a>,
    kind: Text<'a>,
    subject: Text<'a>,
    delivery: Uuid,
    source_id: Text<'a>,
    content: Text<'a>,
    content_sha256: Text<'a>,
    model_digest: Text<'a>,
    cosine: f64,
    exact: bool,
}

impl<'a> From<&'a domain::ContextMerged> for ContextMerged<'a> {
    fn from(event: &'a domain::ContextMerged) -> Self {
        Self {
            context_id: event.context_id.as_uuid(),
            space: event.space.as_str().into(),
            kind: (&event.kind).into(),
            subject: (&event.subject).into(),
            delivery: event.delivery.as_uuid(),
            source_id: (&event.source_id).into(),
            content: event.content.as_str().into(),
            content_sha256: (&event.content_sha256).into(),
            model_digest: (&event.model_digest).into(),
            cosine: event.cosine,
            exact: event.exact,
        }
    }
}

impl TryFrom<ContextMerged<'_>> for domain::ContextMerged {
    type Error = Unmappable;

    fn try_from(published: ContextMerged<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            context_id: ContextId::from_uuid(published.context_id),
            space: space(published.space),
            kind: published.kind.into_owned(),
            subject: published.subject.into_owned(),
            delivery: EventId::from_uuid(published.delivery),
            source_id: published.source_id.into_owned(),
            content: json("content", published.content)?,
            content_sha256: published.content_sha256.into_owned(),
            model_digest: published.model_digest.into_owned(),
            cosine: published.cosine,
            exact: published.exact,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Neighbour<'a> {
    context_id: Uuid,
    cosine: f64,
    kept_apart: Text<'a>,
}

impl<'a> From<&'a domain::Neighbour> for Neighbour<'a> {
    fn from(event: &'a domain::Neighbour) -> Self {
        Self {
            context_id: event.context_id.as_uuid(),
            cosine: event.cosine,
            kept_apart: (&event.kept_apart).into(),
        }
    }
}

impl TryFrom<Neighbour<'_>> for domain::Neighbour {
    type Error = Unmappable;

    fn try_from(published: Neighbour<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            context_id: ContextId::from_uuid(published.context_id),
            cosine: published.cosine,
            kept_apart: published.kept_apart.into_owned(),
        })
    }
}
