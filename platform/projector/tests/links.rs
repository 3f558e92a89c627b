//! A batch shows in a trace: linked to what produced its records.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use common::wire::{Pressed, Presses};
use common::{Bed, PATIENCE, Running, bed, pressed};
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record};
use platform_postgres::Migration;
use platform_postgres::tokio_postgres::{Error, Transaction};
use platform_projector::{PgProjection, run_projection};
use platform_telemetry::names::messaging;

const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// What OTLP calls a span that processes messages.
const KIND_CONSUMER: u64 = 5;

struct Seen(Decoder<Presses>);

impl PgProjection for Seen {
    const NAME: &'static str = "test-links";
    type Event = Pressed;
    type Change = ();

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        Ok(vec![self.0.decode(record).await?])
    }

    fn project(&self, _recorded: &Recorded<Pressed>, _position: &Position) -> Vec<()> {
        vec![()]
    }

    async fn apply(&self, tx: &Transaction<'_>, changes: Vec<()>) -> Result<(), Error> {
        for () in changes {
            tx.execute("INSERT INTO seen DEFAULT VALUES", &[]).await?;
        }
        Ok(())
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "seen",
            sql: "CREATE TABLE seen (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
        }]
    }

    fn digest_query(&self) -> &'static str {
        "SELECT number::text FROM seen"
    }
}

/// One test, because a process has one logger.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_linked_to_the_spans_that_produced_its_records() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let bed = bed("links").await;
    let mut telemetry = bed.settings.telemetry.clone();
    telemetry.log_filter = "warn".to_owned();
    telemetry.otlp_endpoint = Some(format!("http://{}", collector.local_addr().unwrap()));
    let exports = collect(collector);

    // In one partition and before anyone reads, so that they come in one batch.
    append(&bed, &[Some(ONE), Some(OTHER), Some(ONE), None]).await;
    let guard = platform_telemetry::init(&telemetry, "test").unwrap();
    let seen = Seen(bed.decoder::<Presses>());
    let running = Running::start(|stop| run_projection(seen, bed.deps(), stop));
    let span = tokio::task::spawn_blocking(move || next_consumer_span(&exports));
    let span = span.await.unwrap();
    running.stop().await;
    drop(guard);

    assert_eq!(span.name, "process mesh.presses");
    assert_eq!(span.parent, "", "many causes, so no parent");
    let caused = [ONE, OTHER].map(|cause| (cause[3..35].to_owned(), cause[36..52].to_owned()));
    assert_eq!(span.links, caused, "each once");
    let named: BTreeSet<&str> = span.attributes.keys().map(String::as_str).collect();
    let expected = [
        (messaging::SYSTEM, "kafka"),
        (messaging::OPERATION, "process"),
        (messaging::OPERATION_TYPE, "process"),
        (messaging::DESTINATION, "mesh.presses"),
        (messaging::CONSUMER_GROUP, "agentmesh.test-links"),
        (messaging::BATCH_MESSAGE_COUNT, "4"),
        ("runner.name", "test-links"),
    ];
    for (name, value) in expected {
        let found = span.attributes.get(name).map(String::as_str);
        assert_eq!(found, Some(value), "{name} among {named:?}");
    }
    let of_messaging = named.iter().filter(|name| name.starts_with("messaging."));
    assert_eq!(of_messaging.count(), expected.len() - 1, "{named:?}");
}

async fn append(bed: &Bed, traceparents: &[Option<&str>]) {
    let outgoing = traceparents
        .iter()
        .zip(0..)
        .map(|(traceparent, number)| {
            let mut recorded = pressed("a", number);
            recorded.meta.traceparent = traceparent.map(str::to_owned);
            let outgoing = bed.encoder.encode::<Presses>(&recorded).unwrap();
            outgoing.to_partition(0)
        })
        .collect();
    bed.producer.append_all(outgoing).await.unwrap();
}

/// A collector: the bodies of what is sent to it.
fn collect(listener: TcpListener) -> mpsc::Receiver<Vec<u8>> {
    let (sent, received) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = BufReader::new(connection.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                connection.read_line(&mut line).unwrap();
                let line = line.trim().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            connection.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            connection.get_mut().write_all(answer).unwrap();
            if sent.send(body).is_err() {
                return;
            }
        }
    });
    received
}

#[derive(Debug)]
struct Exported {
    name: String,
    parent: String,
    links: Vec<(String, String)>,
    attributes: BTreeMap<String, String>,
}

fn next_consumer_span(exports: &mpsc::Receiver<Vec<u8>>) -> Exported {
    loop {
        let export = exports.recv_timeout(PATIENCE).unwrap();
        let found = spans(&export).find(|span| number(span, 6) == KIND_CONSUMER);
        let Some(span) = found else { continue };
        return Exported {
            name: text(span, 5),
            parent: hex::encode(only(span, 4)),
            links: parts(span, 13)
                .map(|link| (hex::encode(only(link, 1)), hex::encode(only(link, 2))))
                .collect(),
            attributes: parts(span, 9)
                .map(|pair| (text(pair, 1), value(only(pair, 2))))
                .collect(),
        };
    }
}

/// The spans of an `ExportTraceServiceRequest`, whatever their resource and scope.
fn spans(export: &[u8]) -> impl Iterator<Item = &[u8]> {
    let scopes = parts(export, 1).flat_map(|resource| parts(resource, 2));
    scopes.flat_map(|scope| parts(scope, 2))
}

/// An `AnyValue` that is a text or a number.
fn value(any: &[u8]) -> String {
    match text(any, 1) {
        text if text.is_empty() => number(any, 3).to_string(),
        text => text,
    }
}

fn text(message: &[u8], field: u64) -> String {
    String::from_utf8(only(message, field).to_vec()).unwrap()
}

fn only(message: &[u8], field: u64) -> &[u8] {
    parts(message, field).next().unwrap_or_default()
}

fn parts(message: &[u8], field: u64) -> impl Iterator<Item = &[u8]> {
    let found = fields(message).into_iter();
    found.filter_map(move |(number, _, part)| (number == field).then_some(part))
}

fn number(message: &[u8], field: u64) -> u64 {
    let found = fields(message).into_iter();
    let mut found = found.filter_map(|(number, value, _)| (number == field).then_some(value));
    found.next().unwrap_or(0)
}

/// The fields of a protobuf message: number, and its number or its bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let (value, length) = match tag & 7 {
            0 => (varint(&mut message), 0),
            1 => (0, 8),
            2 => (0, varint(&mut message) as usize),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        let (part, rest) = message.split_at(length);
        message = rest;
        found.push((tag >> 3, value, part));
    }
    found
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
