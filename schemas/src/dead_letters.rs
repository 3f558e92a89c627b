use domain_dead_letter::{self as domain, DeadLetterEvent, Letter};
use domain_kernel::{Codec, CodecError, EventId, Recorded};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    form::{Form, WriterSchema},
    value::{Text, Unmappable, maybe_borrowed, maybe_owned},
};

const TOPIC: &str = "mesh.dead-letters";

pub(crate) static REDRIVEN: Form = Form::new(
    TOPIC,
    "DeadLetterRedriven",
    1,
    include_str!("../avro/mesh.dead-letters/DeadLetterRedriven/v1.avsc"),
);
pub(crate) static DISCARDED: Form = Form::new(
    TOPIC,
    "DeadLetterDiscarded",
    1,
    include_str!("../avro/mesh.dead-letters/DeadLetterDiscarded/v1.avsc"),
);

/// What is decided on `mesh.dead-letters`. The letters there are none of these:
/// they are the records as they were.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetters;

impl Codec for DeadLetters {
    type Event = DeadLetterEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &DeadLetterEvent) -> &'static str {
        match event {
            DeadLetterEvent::Redriven(_) => REDRIVEN.name(),
            DeadLetterEvent::Discarded(_) => DISCARDED.name(),
        }
    }

    fn key(recorded: &Recorded<DeadLetterEvent>) -> String {
        recorded.meta.stream.clone()
    }

    fn encode(event: &DeadLetterEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            DeadLetterEvent::Redriven(event) => REDRIVEN.encode(&DeadLetterRedriven::from(event)),
            DeadLetterEvent::Discarded(event) => {
                DISCARDED.encode(&DeadLetterDiscarded::from(event))
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
    ) -> Result<DeadLetterEvent, CodecError> {
        match name {
            "DeadLetterRedriven" => schema
                .read_as::<DeadLetterRedriven<'_>, _>(name, datum)
                .map(DeadLetterEvent::Redriven),
            "DeadLetterDiscarded" => schema
                .read_as::<DeadLetterDiscarded<'_>, _>(name, datum)
                .map(DeadLetterEvent::Discarded),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &DeadLetterEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        DeadLetterEvent::Redriven(event) => serde_json::to_value(DeadLetterRedriven::from(event)),
        DeadLetterEvent::Discarded(event) => serde_json::to_value(DeadLetterDiscarded::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DeadLetterRedriven<'a> {
    letter_id: Uuid,
    consumer: Text<'a>,
    topic: Text<'a>,
    partition: i32,
    offset: i64,
    occurrence: u32,
    operator: Text<'a>,
    note: Option<Text<'a>>,
}

impl<'a> From<&'a domain::DeadLetterRedriven> for DeadLetterRedriven<'a> {
    fn from(event: &'a domain::DeadLetterRedriven) -> Self {
        let letter = &event.letter;
        Self {
            letter_id: letter.letter_id.as_uuid(),
            consumer: (&letter.consumer).into(),
            topic: (&letter.topic).into(),
            partition: letter.partition,
            offset: letter.offset,
            occurrence: event.occurrence,
            operator: (&event.operator).into(),
            note: maybe_borrowed(&event.note),
        }
    }
}

impl TryFrom<DeadLetterRedriven<'_>> for domain::DeadLetterRedriven {
    type Error = Unmappable;

    fn try_from(published: DeadLetterRedriven<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            letter: Letter {
                letter_id: EventId::from_uuid(published.letter_id),
                consumer: published.consumer.into_owned(),
                topic: published.topic.into_owned(),
                partition: published.partition,
                offset: published.offset,
            },
            occurrence: published.occurrence,
            operator: published.operator.into_owned(),
            note: maybe_owned(published.note),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DeadLetterDiscarded<'a> {
    letter_id: Uuid,
    consumer: Text<'a>,
    topic: Text<'a>,
    partition: i32,
    offset: i64,
    occurrence: u32,
    operator: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::DeadLetterDiscarded> for DeadLetterDiscarded<'a> {
    fn from(event: &'a domain::DeadLetterDiscarded) -> Self {
        let letter = &event.letter;
        Self {
            letter_id: letter.letter_id.as_uuid(),
            consumer: (&letter.consumer).into(),
            topic: (&letter.topic).into(),
            partition: letter.partition,
            offset: letter.offset,
            occurrence: event.occurrence,
            operator: (&event.operator).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<DeadLetterDiscarded<'_>> for domain::DeadLetterDiscarded {
    type Error = Unmappable;

    fn try_from(published: DeadLetterDiscarded<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            letter: Letter {
                letter_id: EventId::from_uuid(published.letter_id),
                consumer: published.consumer.into_owned(),
                topic: published.topic.into_owned(),
                partition: published.partition,
                offset: published.offset,
            },
            occurrence: published.occurrence,
            operator: published.operator.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}
