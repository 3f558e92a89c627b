use domain_context::{self as domain, NotificationEvent};
use domain_kernel::{Codec, CodecError, ContextId, NotificationId, Recorded};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, json, space},
};

const TOPIC: &str = "mesh.notifications";

pub(crate) static NOTIFIED: Form = Form::new(
    TOPIC,
    "SubscriberNotified",
    1,
    include_str!("../avro/mesh.notifications/SubscriberNotified/v1.avsc"),
);

/// `mesh.notifications`.
#[derive(Debug, Clone, Copy)]
pub struct Notifications;

impl Codec for Notifications {
    type Event = NotificationEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &NotificationEvent) -> &'static str {
        match event {
            NotificationEvent::Notified(_) => NOTIFIED.name(),
        }
    }

    fn key(recorded: &Recorded<NotificationEvent>) -> String {
        recorded.meta.correlation.to_string()
    }

    fn encode(event: &NotificationEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            NotificationEvent::Notified(event) => NOTIFIED.encode(&SubscriberNotified::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<NotificationEvent, CodecError> {
        match name {
            "SubscriberNotified" => schema
                .read_as::<SubscriberNotified<'_>, _>(name, datum)
                .map(NotificationEvent::Notified),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &NotificationEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        NotificationEvent::Notified(event) => serde_json::to_value(SubscriberNotified::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SubscriberNotified<'a> {
    notification_id: Uuid,
    subscriber: Text<'a>,
    context_id: Uuid,
    space: Text<'a>,
    kind: Text<'a>,
    subject: Text<'a>,
    content: Text<'a>,
}

impl<'a> From<&'a domain::SubscriberNotified> for SubscriberNotified<'a> {
    fn from(event: &'a domain::SubscriberNotified) -> Self {
        Self {
            notification_id: event.notification_id.as_uuid(),
            subscriber: (&event.subscriber).into(),
            context_id: event.context_id.as_uuid(),
            space: event.space.as_str().into(),
            kind: (&event.kind).into(),
            subject: (&event.subject).into(),
            content: event.content.as_str().into(),
        }
    }
}

impl TryFrom<SubscriberNotified<'_>> for domain::SubscriberNotified {
    type Error = Unmappable;

    fn try_from(published: SubscriberNotified<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            notification_id: NotificationId::from_uuid(published.notification_id),
            subscriber: published.subscriber.into_owned(),
            context_id: ContextId::from_uuid(published.context_id),
            space: space(published.space),
            kind: published.kind.into_owned(),
            subject: published.subject.into_owned(),
            content: json("content", published.content)?,
        })
    }
}
