//! Appending and reading back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Notes, TOPIC, bed, noted};
use platform_log::{Decoder, Error, Outgoing, PartitionReader, Producer};

#[tokio::test]
async fn what_is_appended_is_read_with_its_headers() {
    let bed = bed("append").await;
    let producer = Producer::new(&bed.bed.settings.kafka).unwrap();
    let mut recorded = noted("a", 0);
    recorded.meta.causation = Some(recorded.meta.id);
    recorded.meta.traceparent =
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());

    let outgoing = bed.encoder.encode::<Notes>(&recorded).unwrap();
    let position = producer.append(outgoing).await.unwrap();
    assert_eq!(position.topic, TOPIC);
    assert_eq!(position.offset, 0);

    let records = bed.read_all(TOPIC).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.position(), position);
    assert_eq!(record.key.as_deref(), Some(&b"a"[..]));
    assert_eq!(record.header("ce_type"), Some("cloud.agentmesh.Noted"));
    assert_eq!(record.header("content-type"), Some("application/avro"));
    assert_eq!(record.header("mesh-tenant"), Some("acme"));
    assert!(record.timestamp_ms > 0);
    let decoder = Decoder::<Notes>::new(bed.registry.clone());
    let read = decoder.decode(record).await.unwrap();
    assert_eq!(read.meta, recorded.meta);
    assert_eq!(read.event.text, recorded.event.text);
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_a_key_its_partition() {
    let bed = bed("append all").await;
    let producer = Producer::new(&bed.bed.settings.kafka).unwrap();
    let keys = ["a", "b", "c", "d", "e"];
    let outgoing: Vec<Outgoing> = (0..1_000)
        .map(|number| {
            let recorded = noted(keys[number as usize % keys.len()], number);
            bed.encoder.encode::<Notes>(&recorded).unwrap()
        })
        .collect();
    let positions = producer.append_all(outgoing.clone()).await.unwrap();
    assert_eq!(positions.len(), outgoing.len());

    let records = bed.read_all(TOPIC).await;
    assert_eq!(records.len(), outgoing.len());
    let by_position: HashMap<_, _> = records.iter().map(|r| (r.position(), r)).collect();
    for (sent, position) in outgoing.iter().zip(&positions) {
        let record = by_position[position];
        assert_eq!(record.value.as_ref(), sent.value());
    }
    for key in keys {
        let of_key: Vec<_> = outgoing
            .iter()
            .zip(&positions)
            .filter(|(sent, _)| sent.key() == Some(key.as_bytes()))
            .map(|(_, position)| position)
            .collect();
        assert!(
            of_key
                .windows(2)
                .all(|pair| pair[0].partition == pair[1].partition
                    && pair[0].offset < pair[1].offset)
        );
        let partition = murmur2(key.as_bytes()) as i32 % bed.partitions();
        assert_eq!(of_key[0].partition, partition, "as other clients put it");
    }
}

/// The hash of Kafka's Java client, sign bit cleared.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(key.len()).unwrap();
    let chunks = key.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    for (at, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)) & 0x7fff_ffff
}

#[tokio::test]
async fn a_batch_larger_than_the_queue_waits_for_room() {
    let bed = bed("queue").await;
    let mut settings = bed.bed.settings.kafka.clone();
    settings.queue_max_messages = 10;
    let producer = Producer::new(&settings).unwrap();
    let outgoing = (0..500)
        .map(|number| bed.encoder.encode::<Notes>(&noted("a", number)).unwrap())
        .collect();
    let positions = producer.append_all(outgoing).await.unwrap();
    let offsets: Vec<i64> = positions.iter().map(|position| position.offset).collect();
    assert_eq!(offsets, (0..500).collect::<Vec<i64>>());
}

#[tokio::test]
async fn without_a_broker_the_queue_fills_and_appends_fail() {
    let bed = bed("no broker").await;
    let mut settings = bed.bed.settings.kafka.clone();
    settings.brokers = format!("127.0.0.1:{}", platform_testkit::free_port().unwrap());
    settings.queue_max_messages = 2;
    settings.message_timeout_ms = 500;
    let producer = Producer::new(&settings).unwrap();
    let outgoing = |number| bed.encoder.encode::<Notes>(&noted("a", number)).unwrap();
    let (first, second, third) = tokio::join!(
        producer.append(outgoing(0)),
        producer.append(outgoing(1)),
        producer.append(outgoing(2)),
    );
    assert!(matches!(third, Err(Error::QueueFull)), "{third:?}");
    for failed in [first, second] {
        let error = failed.unwrap_err();
        assert!(matches!(error, Error::NotAcknowledged { .. }), "{error:?}");
        assert!(error.is_transient());
    }
    let all = producer.append_all(vec![outgoing(3), outgoing(4), outgoing(5)]);
    assert!(all.await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_an_error() {
    let bed = bed("no topic").await;
    let mut settings = bed.bed.settings.kafka.clone();
    settings.topic_prefix.push_str("none.");
    settings.message_timeout_ms = 2_000;
    let producer = Producer::new(&settings).unwrap();
    let outgoing = bed.encoder.encode::<Notes>(&noted("a", 0)).unwrap();
    let error = producer.append(outgoing).await.unwrap_err();
    assert!(matches!(error, Error::NotAcknowledged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_dead_letter_keeps_the_original() {
    let bed = bed("dead letter").await;
    let producer = Producer::new(&bed.bed.settings.kafka).unwrap();
    let outgoing = bed.encoder.encode::<Notes>(&noted("a", 0)).unwrap();
    producer.append(outgoing).await.unwrap();
    let original = bed.read_all(TOPIC).await.remove(0);
    let letter = Outgoing::dead_letter(common::OTHER, &original, &[("mesh-reason", "é")]);
    producer.append_detached(letter);
    producer.flush(common::PATIENCE).await.unwrap();
    let found = bed.read_all(common::OTHER).await.remove(0);
    assert_eq!(found.value, original.value);
    assert_eq!(found.key, original.key);
    assert_eq!(found.header("mesh-reason"), Some("é"));
    assert_eq!(found.metadata().unwrap(), original.metadata().unwrap());
}

#[tokio::test]
async fn a_reader_starts_where_it_is_told() {
    let bed = bed("reader").await;
    let kafka = &bed.bed.settings.kafka;
    let producer = Producer::new(kafka).unwrap();
    let outgoing: Vec<_> = (0..10)
        .map(|number| {
            let outgoing = bed.encoder.encode::<Notes>(&noted("a", number)).unwrap();
            outgoing.to_partition(1)
        })
        .collect();
    producer.append_all(outgoing.clone()).await.unwrap();

    let mut reader = PartitionReader::open(kafka, TOPIC, [(1, 7), (2, 0)]).unwrap();
    assert_eq!(reader.high_watermarks().await.unwrap(), [(1, 10), (2, 0)]);
    let offsets: Vec<i64> = reader
        .read_to_end()
        .await
        .unwrap()
        .iter()
        .map(|record| record.offset)
        .collect();
    assert_eq!(offsets, [7, 8, 9]);
    assert_eq!(reader.positions(), [(1, 10), (2, 0)]);
    assert!(
        reader
            .next(10, Duration::from_millis(10))
            .await
            .unwrap()
            .is_empty()
    );

    producer.append(outgoing[0].clone()).await.unwrap();
    let fresh = reader.next(10, common::PATIENCE).await.unwrap();
    assert_eq!(fresh[0].offset, 10);
    assert_eq!(
        bed.admin.high_watermarks(TOPIC).await.unwrap(),
        [(0, 0), (1, 11), (2, 0)]
    );
}

/// Anyone may write to a topic, and a client in C puts any bytes into a name.
#[tokio::test]
async fn a_header_whose_name_is_not_text_costs_neither_the_record_nor_the_reader() {
    let bed = bed("header name").await;
    let kafka = &bed.bed.settings.kafka;
    let topic = format!("{}{TOPIC}", kafka.topic_prefix);
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", &kafka.brokers, "-t", &topic, "-p", "0"])
        .args(["-H", "before=1", "-H"])
        .arg(OsStr::from_bytes(b"\xff\xfe=lost"))
        .args(["-H", "after=2"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    kcat.stdin.take().unwrap().write_all(b"value").unwrap();
    assert!(kcat.wait().unwrap().success());

    let records = bed.read_all(TOPIC).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.value.as_deref(), Some(&b"value"[..]));
    assert_eq!(record.header("before"), Some("1"));
    assert_eq!(record.header("\u{fffd}"), Some(""));
    assert_eq!(record.header("after"), Some("2"));
}
