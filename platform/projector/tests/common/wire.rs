//! The events of the tests and how they are written: JSON text in one Avro string.

use domain_kernel::{Codec, CodecError, Recorded};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

macro_rules! schema {
    ($name:literal) => {
        concat!(
            r#"{"type":"record","name":""#,
            $name,
            r#"","namespace":"cloud.agentmesh","fields":[{"name":"text","type":"string"}]}"#
        )
    };
}

pub const CATALOGUE: [(&str, &str, &str); 4] = [
    ("mesh.presses", "Pressed", schema!("Pressed")),
    ("mesh.counts", "Counted", schema!("Counted")),
    ("mesh.asks", "Asked", schema!("Asked")),
    ("mesh.answers", "Answered", schema!("Answered")),
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressed {
    pub stream: String,
    pub number: u64,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub stream: String,
    pub press: String,
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub stream: String,
    pub number: u64,
    pub cancels: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answered {
    Started,
    Done { number: u64 },
    CalledOff,
}

macro_rules! topic {
    ($codec:ident, $event:ident, $topic:literal, $name:literal, $key:expr) => {
        pub struct $codec;

        impl Codec for $codec {
            type Event = $event;
            type WriterSchema = ();
            const TOPIC: &'static str = $topic;

            fn name(_event: &$event) -> &'static str {
                $name
            }

            fn key(recorded: &Recorded<$event>) -> String {
                let key: fn(&Recorded<$event>) -> String = $key;
                key(recorded)
            }

            fn encode(event: &$event) -> Result<Vec<u8>, CodecError> {
                Ok(encode(event))
            }

            fn parse_schema(_name: &str, _text: &str) -> Result<(), CodecError> {
                Ok(())
            }

            fn decode(name: &str, _schema: &(), datum: &[u8]) -> Result<$event, CodecError> {
                decode(datum).ok_or_else(|| CodecError::Decode {
                    name: name.to_owned(),
                    source: "not one string of JSON".into(),
                })
            }
        }
    };
}

topic!(Presses, Pressed, "mesh.presses", "Pressed", |recorded| {
    recorded.event.stream.clone()
});
topic!(Counts, Counted, "mesh.counts", "Counted", |recorded| {
    recorded.event.stream.clone()
});
topic!(Asks, Asked, "mesh.asks", "Asked", |recorded| recorded
    .event
    .stream
    .clone());
// Keyed by something else than the requests, as outcomes are.
topic!(Answers, Answered, "mesh.answers", "Answered", |recorded| {
    recorded.meta.correlation.to_string()
});

fn encode(event: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(event).unwrap();
    let mut length = text.len() as u64 * 2;
    let mut datum = Vec::with_capacity(text.len() + 4);
    while length >= 0x80 {
        datum.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    datum.push(length as u8);
    datum.extend_from_slice(text.as_bytes());
    datum
}

fn decode<T: DeserializeOwned>(datum: &[u8]) -> Option<T> {
    let end = datum.iter().position(|byte| byte & 0x80 == 0)?;
    serde_json::from_slice(datum.get(end + 1..)?).ok()
}
