use bytes::Bytes;
use domain_kernel::{EventId, Timestamp};
use platform_log::{Outgoing, Position, Record};

use super::TOPIC;
use crate::Failure;
use crate::error::{causes, chain};

/// Header: which letter it is; the same record given up again by the same
/// consumer has the same.
const ID: &str = "mesh-dead-letter-id";
/// Header: why, as one line.
const REASON: &str = "mesh-dead-letter-reason";
/// Header: why, each error and the error that caused it, as an array of JSON.
const CAUSES: &str = "mesh-dead-letter-causes";
/// Header: `topic/partition/offset` the record was read from.
const ORIGIN: &str = "mesh-dead-letter-origin";
/// Header: who could not handle it.
const CONSUMER: &str = "mesh-dead-letter-consumer";
/// Header: how often it was tried.
const ATTEMPTS: &str = "mesh-dead-letter-attempts";
/// Header: when it was given up, RFC 3339.
const TIME: &str = "mesh-dead-letter-time";
/// Header: how many bytes of value were left out, because with these headers
/// the record would have been too large for the broker.
const OMITTED: &str = "mesh-dead-letter-omitted-bytes";

const HEADERS: [&str; 8] = [
    ID, REASON, CAUSES, ORIGIN, CONSUMER, ATTEMPTS, TIME, OMITTED,
];

/// A reason is for people; what quotes a payload is cut short.
const LONGEST_REASON: usize = 1_000;
const MOST_CAUSES: usize = 16;

/// A dead letter, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: EventId,
    pub consumer: String,
    /// Each error and the error that caused it; never empty.
    pub causes: Vec<String>,
    /// The causes on one line.
    pub reason: String,
    pub attempts: u32,
    /// None when the letter is from a release that did not note it.
    pub at: Option<Timestamp>,
    /// How many bytes of the original's value the letter has no room for.
    pub omitted_bytes: Option<u64>,
    /// The record as it was where it came from.
    pub original: Record,
}

impl DeadLetter {
    /// None when the record is no letter, such as a decision about one.
    pub fn read(record: &Record) -> Option<Self> {
        let consumer = record.last_header(CONSUMER)?.to_owned();
        let origin = parse_origin(record.last_header(ORIGIN)?)?;
        let reason = record.last_header(REASON).unwrap_or_default().to_owned();
        let causes = record
            .last_header(CAUSES)
            .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok())
            .filter(|causes| !causes.is_empty())
            .unwrap_or_else(|| vec![reason.clone()]);
        let number = |name: &str| record.last_header(name)?.parse().ok();
        Some(Self {
            id: letter_id(&consumer, &origin),
            causes,
            reason,
            attempts: number(ATTEMPTS).unwrap_or(1),
            at: record
                .last_header(TIME)
                .and_then(|text| Timestamp::parse_rfc3339(text).ok()),
            omitted_bytes: record
                .last_header(OMITTED)
                .and_then(|text| text.parse().ok()),
            original: original(record, &origin),
            consumer,
        })
    }
}

/// The id of the letter of one record and one consumer.
pub fn letter_id(consumer: &str, origin: &Position) -> EventId {
    let place = format!("{}/{}/{}", origin.topic, origin.partition, origin.offset);
    EventId::derive(&["dead-letter", consumer, &place])
}

pub(super) fn origin(record: &Record) -> String {
    format!("{}/{}/{}", record.topic, record.partition, record.offset)
}

pub(super) fn parse_origin(text: &str) -> Option<Position> {
    let mut parts = text.rsplitn(3, '/');
    let offset = parts.next()?.parse().ok()?;
    let partition = parts.next()?.parse().ok()?;
    let topic = parts.next()?.to_owned();
    Some(Position {
        topic,
        partition,
        offset,
    })
}

/// What the letter was made of: our headers are the last of their names.
fn original(letter: &Record, origin: &Position) -> Record {
    let mut headers = letter.headers.to_vec();
    for name in HEADERS {
        if let Some(at) = headers.iter().rposition(|(header, _)| header == name) {
            headers.remove(at);
        }
    }
    Record {
        topic: origin.topic.clone(),
        partition: origin.partition,
        offset: origin.offset,
        // The letter's own would say when it was given up.
        timestamp_ms: 0,
        key: letter.key.clone(),
        headers: headers.into_iter().collect(),
        value: letter.value.clone(),
    }
}

/// On the partition of the number it came from, so that a letter and the
/// decisions about it stand in order, where the consumer of the original reads.
pub(super) fn write(record: &Record, consumer: &str, failure: &Failure, attempts: u32) -> Outgoing {
    let causes: Vec<String> = causes(failure)
        .into_iter()
        .take(MOST_CAUSES)
        .map(|text| on_one_line(&text))
        .collect();
    let id = letter_id(consumer, &record.position()).to_string();
    let reason = on_one_line(&chain(failure));
    // Strings always become JSON.
    let causes = serde_json::to_string(&causes).unwrap_or_default();
    let origin = origin(record);
    let attempts = attempts.to_string();
    let time = platform_telemetry::now().to_rfc3339();
    let extra = [
        (ID, id.as_str()),
        (REASON, &reason),
        (CAUSES, &causes),
        (ORIGIN, &origin),
        (CONSUMER, consumer),
        (ATTEMPTS, &attempts),
        (TIME, &time),
    ];
    Outgoing::dead_letter(TOPIC, record, &extra).to_partition(record.partition)
}

pub(super) fn without_value(letter: Outgoing, record: &Record) -> Outgoing {
    let bytes = record.value.as_ref().map_or(0, Bytes::len);
    letter
        .without_value()
        .with_header(OMITTED, &bytes.to_string())
}

fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST_REASON)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            topic: "mesh.things".to_owned(),
            partition: 2,
            offset: 7,
            timestamp_ms: 0,
            key: Some(Bytes::from_static(b"key")),
            headers: [
                ("ce_id", "1"),
                // Whoever sent it cannot make it look like another letter.
                (CONSUMER, "somebody else"),
            ]
            .into_iter()
            .collect(),
            value: Some(Bytes::from_static(b"\xde\xad")),
        }
    }

    fn read(outgoing: &Outgoing) -> Option<DeadLetter> {
        DeadLetter::read(&Record {
            topic: TOPIC.to_owned(),
            partition: 0,
            offset: 40,
            timestamp_ms: 0,
            key: outgoing.key().map(Bytes::copy_from_slice),
            headers: outgoing.headers().iter().cloned().collect(),
            value: outgoing.value().cloned(),
        })
    }

    #[test]
    fn a_letter_holds_the_record_as_it_was_and_why() {
        let inner = std::io::Error::other("the\ndisk");
        let failure = Failure::poison(inner);
        let letter = read(&write(&record(), "reader", &failure, 3)).unwrap();
        assert_eq!(letter.original, record());
        assert_eq!(letter.consumer, "reader");
        assert_eq!(letter.attempts, 3);
        assert_eq!(letter.causes, ["can never succeed", "the disk"]);
        assert_eq!(letter.reason, "can never succeed: the disk");
        assert!(letter.at.is_some());
        assert_eq!(letter.id, letter_id("reader", &record().position()));
    }

    #[test]
    fn what_does_not_fit_is_left_where_it_is() {
        let failure = Failure::poison("too large");
        let letter = write(&record(), "reader", &failure, 1);
        let letter = read(&without_value(letter, &record())).unwrap();
        assert_eq!(letter.original.value, None);
        assert_eq!(letter.omitted_bytes, Some(2));
    }

    #[test]
    fn a_record_that_is_no_letter_is_none() {
        assert_eq!(DeadLetter::read(&record()), None);
    }
}
