//! A topic, an event and a bed for the tests of this crate. The real events
//! and schemas live a layer above.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use domain_kernel::{
    Codec, CodecError, CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp,
};
use platform_log::{Admin, Encoder, PartitionReader, Record, SchemaRegistry, TopicSpec, subject};
use platform_testkit::TestBed;

pub(crate) const TOPIC: &str = "mesh.notes";
pub(crate) const OTHER: &str = "mesh.others";
pub(crate) const NAME: &str = "Noted";
pub(crate) const SCHEMA: &str = r#"{"type":"record","name":"Noted","namespace":"cloud.agentmesh","fields":[{"name":"text","type":"string"}]}"#;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) key: String,
    pub(crate) text: String,
}

/// Writes and reads one Avro string by hand: its length as a zigzag varint,
/// then its bytes. Good for texts under 64 bytes.
pub(crate) struct Notes;

impl Codec for Notes {
    type Event = Noted;
    type WriterSchema = String;
    const TOPIC: &'static str = TOPIC;

    fn name(_event: &Noted) -> &'static str {
        NAME
    }

    fn key(recorded: &Recorded<Noted>) -> String {
        recorded.event.key.clone()
    }

    fn encode(event: &Noted) -> Result<Vec<u8>, CodecError> {
        let length = u8::try_from(event.text.len() * 2).unwrap();
        assert!(length < 128);
        let mut datum = vec![length];
        datum.extend_from_slice(event.text.as_bytes());
        Ok(datum)
    }

    fn parse_schema(_name: &str, text: &str) -> Result<String, CodecError> {
        Ok(text.to_owned())
    }

    fn decode(name: &str, schema: &String, datum: &[u8]) -> Result<Noted, CodecError> {
        assert!(schema.contains("Noted"));
        let decoded = datum.split_first().and_then(|(length, text)| {
            (usize::from(length / 2) == text.len()).then(|| String::from_utf8(text.to_vec()))
        });
        match decoded {
            Some(Ok(text)) => Ok(Noted {
                key: String::new(),
                text,
            }),
            _ => Err(CodecError::Decode {
                name: name.to_owned(),
                source: "not one string".into(),
            }),
        }
    }
}

pub(crate) fn noted(key: &str, number: u64) -> Recorded<Noted> {
    Recorded {
        meta: Metadata {
            id: EventId::derive(&["note", key, &number.to_string()]),
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::of_delivery("zapier", key),
            causation: None,
            stream: format!("note-{key}"),
            version: number + 1,
            at: Timestamp::from_micros(1_790_000_000_000_000),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
        },
        event: Noted {
            key: key.to_owned(),
            text: format!("{key} {number}"),
        },
    }
}

pub(crate) struct Bed {
    pub(crate) bed: TestBed,
    pub(crate) admin: Admin,
    pub(crate) registry: SchemaRegistry,
    pub(crate) encoder: Encoder,
}

/// A bed with both topics and the schema.
pub(crate) async fn bed(name: &str) -> Bed {
    let bed = TestBed::new(name).await.unwrap();
    let admin = Admin::new(&bed.settings.kafka).unwrap();
    let partitions = bed.settings.kafka.partitions;
    admin
        .ensure_topics(&[
            TopicSpec::new(TOPIC, partitions),
            TopicSpec::new(OTHER, partitions),
        ])
        .await
        .unwrap();
    let registry = SchemaRegistry::new(&bed.settings.schema_registry).unwrap();
    registry
        .register(&subject(TOPIC, NAME), SCHEMA)
        .await
        .unwrap();
    let encoder = Encoder::resolve(&registry, [(TOPIC, NAME, SCHEMA)])
        .await
        .unwrap();
    Bed {
        bed,
        admin,
        registry,
        encoder,
    }
}

impl Bed {
    pub(crate) fn partitions(&self) -> i32 {
        i32::try_from(self.bed.settings.kafka.partitions).unwrap()
    }

    pub(crate) async fn read_all(&self, topic: &str) -> Vec<Record> {
        let from = (0..self.partitions()).map(|partition| (partition, -1));
        let mut reader = PartitionReader::open(&self.bed.settings.kafka, topic, from).unwrap();
        reader.read_to_end().await.unwrap()
    }
}
