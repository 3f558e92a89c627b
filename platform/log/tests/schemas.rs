//! The schema registry through its Confluent API.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::Bytes;
use common::{NAME, Notes, SCHEMA, TOPIC, bed, noted};
use platform_config::Settings;
use platform_log::{
    DecodeError, Decoder, Encoder, Error, Producer, Record, SchemaRegistry, frame, subject,
};
use platform_testkit::TestBed;

const WITH_DEFAULT: &str = r#"{"type":"record","name":"Noted","namespace":"cloud.agentmesh","fields":[{"name":"text","type":"string"},{"name":"more","type":["null","string"],"default":null}]}"#;
const WITHOUT_DEFAULT: &str = r#"{"type":"record","name":"Noted","namespace":"cloud.agentmesh","fields":[{"name":"text","type":"string"},{"name":"more","type":"string"}]}"#;

async fn registry(name: &str) -> (TestBed, SchemaRegistry, String) {
    let bed = TestBed::new(name).await.unwrap();
    let registry = SchemaRegistry::new(&bed.settings.schema_registry).unwrap();
    // The registry is shared by all tests; the prefix makes the subject our own.
    let subject = subject(&bed.settings.kafka.topic_prefix, NAME);
    (bed, registry, subject)
}

#[tokio::test]
async fn a_schema_is_registered_once_and_found_again() {
    let (bed, registry, subject) = registry("schemas").await;
    let missing = registry.lookup(&subject, SCHEMA).await.unwrap_err();
    assert!(
        matches!(missing, Error::SchemaNotRegistered { .. }),
        "{missing:?}"
    );
    assert!(!missing.is_transient());

    let id = registry.register(&subject, SCHEMA).await.unwrap();
    assert_eq!(registry.register(&subject, SCHEMA).await.unwrap(), id);
    // Another client, so that nothing comes from the cache.
    let other = SchemaRegistry::new(&bed.settings.schema_registry).unwrap();
    assert_eq!(other.lookup(&subject, SCHEMA).await.unwrap(), id);
    let text = other.schema_by_id(id).await.unwrap();
    assert!(text.contains("Noted"), "{text}");
}

#[tokio::test]
async fn full_transitive_compatibility_is_kept_per_subject() {
    let (_bed, registry, subject) = registry("compatibility").await;
    assert!(
        registry.is_compatible(&subject, SCHEMA).await.unwrap(),
        "the first may be anything"
    );
    registry
        .set_compatibility(&subject, "FULL_TRANSITIVE")
        .await
        .unwrap();
    assert_eq!(
        registry.compatibility(&subject).await.unwrap().as_deref(),
        Some("FULL_TRANSITIVE")
    );
    registry.register(&subject, SCHEMA).await.unwrap();

    assert!(
        registry
            .is_compatible(&subject, WITH_DEFAULT)
            .await
            .unwrap()
    );
    assert!(
        !registry
            .is_compatible(&subject, WITHOUT_DEFAULT)
            .await
            .unwrap()
    );
    let refused = registry
        .register(&subject, WITHOUT_DEFAULT)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Incompatible { .. }), "{refused:?}");
    registry.register(&subject, WITH_DEFAULT).await.unwrap();
    assert!(registry.is_compatible(&subject, SCHEMA).await.unwrap());
}

#[tokio::test]
async fn what_is_no_schema_is_refused() {
    let (_bed, registry, subject) = registry("no schema").await;
    let error = registry.register(&subject, "{\"type\":").await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::RegistryAnswer {
                status: 400..500,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn an_encoder_needs_its_schemas_registered() {
    let (bed, registry, _) = registry("encoder").await;
    let topic: &'static str = format!("{}notes", bed.settings.kafka.topic_prefix).leak();
    let error = Encoder::resolve(&registry, [(topic, NAME, SCHEMA)])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("schema of subject {topic}-cloud.agentmesh.Noted is not registered")
    );
}

/// A record as it would come from the log.
async fn record() -> (common::Bed, Record) {
    let bed = bed("decode").await;
    let producer = Producer::new(&bed.bed.settings.kafka).unwrap();
    let outgoing = bed.encoder.encode::<Notes>(&noted("a", 0)).unwrap();
    producer.append(outgoing).await.unwrap();
    let record = bed.read_all(TOPIC).await.remove(0);
    (bed, record)
}

#[tokio::test]
async fn poison_is_told_from_what_may_pass() {
    let (bed, record) = record().await;
    let decoder = Decoder::<Notes>::new(bed.registry.clone());
    decoder.decode(&record).await.unwrap();

    let unframed = Record {
        value: Some(Bytes::from_static(b"{}")),
        ..record.clone()
    };
    let empty = Record {
        value: None,
        ..record.clone()
    };
    let headless = Record {
        headers: platform_log::Headers::default(),
        ..record.clone()
    };
    let elsewhere = Record {
        topic: "mesh.others".to_owned(),
        ..record.clone()
    };
    let unknown = Record {
        value: Some(frame(2_000_000_000, b"\x02a")),
        ..record.clone()
    };
    let truncated = Record {
        value: record
            .value
            .as_ref()
            .map(|value| value.slice(..value.len() - 1)),
        ..record.clone()
    };
    for poison in [unframed, empty, headless, elsewhere, unknown, truncated] {
        let error = decoder.decode(&poison).await.unwrap_err();
        assert!(!error.is_transient(), "{error:?}");
    }

    let mut settings = Settings::defaults().unwrap().schema_registry;
    settings.url = format!(
        "http://127.0.0.1:{}",
        platform_testkit::free_port().unwrap()
    );
    let away = SchemaRegistry::new(&settings).unwrap();
    let error = Decoder::<Notes>::new(away)
        .decode(&record)
        .await
        .unwrap_err();
    assert!(matches!(error, DecodeError::Schema { .. }), "{error:?}");
    assert!(
        error.is_transient(),
        "an unknown schema waits while the registry is down"
    );
}

#[tokio::test]
async fn a_known_schema_needs_no_registry() {
    let (bed, record) = record().await;
    let decoder = Decoder::<Notes>::new(bed.registry.clone());
    for _ in 0..3 {
        decoder.decode(&record).await.unwrap();
    }
}
