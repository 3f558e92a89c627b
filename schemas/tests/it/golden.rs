//! Bytes that were once on a log stay readable for ever.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use domain_kernel::Codec;
use schemas::{AnyEvent, Deliveries, SchemaEntry, catalogue, decode_any};

use crate::samples;

fn entry(event: &AnyEvent) -> &'static SchemaEntry {
    catalogue()
        .iter()
        .find(|entry| entry.name == event.name() && entry.topic == event.topic())
        .expect("every event is in the catalogue")
}

fn golden(entry: &SchemaEntry, version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(entry.topic)
        .join(format!("{}-v{version}.avro", entry.name))
}

fn decode(entry: &SchemaEntry, version: u32, datum: &[u8]) -> AnyEvent {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("avro")
            .join(entry.topic)
            .join(entry.name)
            .join(format!("v{version}.avsc")),
    )
    .unwrap();
    // All codecs parse schemas alike.
    let schema = Deliveries::parse_schema(entry.name, &text).unwrap();
    decode_any(entry.topic, entry.name, &schema, datum).unwrap()
}

#[test]
fn there_is_a_sample_of_every_event() {
    let sampled: BTreeSet<_> = samples::all().iter().map(AnyEvent::name).collect();
    let published: BTreeSet<_> = catalogue().iter().map(|entry| entry.name).collect();
    assert_eq!(sampled, published);
    assert_eq!(published.len(), catalogue().len(), "names are unique");
}

#[test]
fn every_event_comes_back_as_it_was() {
    for event in samples::all() {
        let entry = entry(&event);
        let datum = event.encode().unwrap();
        assert_eq!(decode(entry, entry.version, &datum), event);
    }
}

/// With `UPDATE_GOLDEN` set, files that are missing are written; none is ever replaced.
#[test]
fn bytes_of_every_version_decode_to_the_same_event() {
    for event in samples::all() {
        let entry = entry(&event);
        for version in 1..=entry.version {
            let path = golden(entry, version);
            if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
                assert_eq!(version, entry.version, "old bytes cannot be made up");
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, event.encode().unwrap()).unwrap();
            }
            let datum =
                std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let told = samples::as_of(version, &event);
            assert_eq!(decode(entry, version, &datum), told, "{}", path.display());
            if version == entry.version {
                assert_eq!(event.encode().unwrap(), datum, "{}", path.display());
            }
        }
    }
}

#[test]
fn absent_parts_come_back_absent() {
    for event in samples::all() {
        let AnyEvent::Delivery(domain_delivery::DeliveryEvent::Accepted(mut accepted)) = event
        else {
            continue;
        };
        accepted.key_id = None;
        accepted.subject = None;
        accepted.signed_headers.clear();
        accepted.body.clear();
        let event = AnyEvent::Delivery(domain_delivery::DeliveryEvent::Accepted(accepted));
        let datum = event.encode().unwrap();
        let entry = entry(&event);
        assert_eq!(decode(entry, entry.version, &datum), event);
    }
}

#[test]
fn text_that_is_not_json_is_refused_where_json_is_due() {
    let event = samples::all()
        .into_iter()
        .find(|event| event.name() == "SubscriberNotified")
        .unwrap();
    let entry = entry(&event);
    let mut datum = event.encode().unwrap();
    let brace = datum.iter().rposition(|byte| *byte == b'}').unwrap();
    datum[brace] = b'!';
    let schema = Deliveries::parse_schema(entry.name, entry.text).unwrap();
    assert!(decode_any(entry.topic, entry.name, &schema, &datum).is_err());
}
