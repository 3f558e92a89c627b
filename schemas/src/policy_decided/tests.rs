//! By hand and by serde: the same bytes, the same events, the same refusals.

use domain_kernel::{Codec, CodecError, Json};
use domain_policy::PolicyEvent;

use super::*;
use crate::{
    Decisions, WriterSchema,
    chance::{Chance, try_every_byte_and_end},
    decisions::DECIDED,
};

impl Chance {
    fn json(&mut self) -> Json {
        let text = self.text();
        match self.below(3) {
            0 => Json::from_text("{}"),
            1 => Json::from_text(format!(" [{}, null]", self.below(1_000_000))),
            _ => Json::from_text(serde_json::to_string(&text).unwrap()),
        }
    }

    fn decided(&mut self) -> domain::PolicyDecided {
        domain::PolicyDecided {
            decision_id: DecisionId::derive(&[&self.text()]),
            path: self.text(),
            bundle_digest: self.text(),
            input: self.json(),
            result: self.maybe(Self::json),
            allow: self.below(2) == 0,
            reasons: (0..self.below(5)).map(|_| self.text()).collect(),
            engine: self.text(),
            duration_us: (i64::MAX as u64) >> self.below(64),
        }
    }
}

fn schema() -> WriterSchema {
    Decisions::parse_schema(DECIDED.name(), DECIDED.entry.text).unwrap()
}

fn by_hand(schema: &WriterSchema, datum: &[u8]) -> Result<domain::PolicyDecided, CodecError> {
    let event = Decisions::decode(DECIDED.name(), schema, datum)?;
    let PolicyEvent::Decided(decided) = event;
    Ok(decided)
}

fn by_serde(schema: &WriterSchema, datum: &[u8]) -> Result<domain::PolicyDecided, CodecError> {
    schema.read_as::<PolicyDecided<'_>, _>(DECIDED.name(), datum)
}

/// Whether the bytes are an event, about which both ways must agree.
fn is_event(schema: &WriterSchema, datum: &[u8]) -> bool {
    let (hand, serde) = (by_hand(schema, datum), by_serde(schema, datum));
    assert_eq!(hand.is_ok(), serde.is_ok(), "{hand:?} {serde:?} {datum:?}");
    match (hand, serde) {
        (Ok(hand), Ok(serde)) => {
            assert_eq!(hand, serde);
            true
        }
        _ => false,
    }
}

fn encode(event: &domain::PolicyDecided) -> Vec<u8> {
    Decisions::encode(&PolicyEvent::Decided(event.clone())).unwrap()
}

fn small() -> domain::PolicyDecided {
    domain::PolicyDecided {
        decision_id: DecisionId::derive(&["d"]),
        path: "mesh/ingest".to_owned(),
        bundle_digest: "ü".to_owned(),
        input: Json::from_text(r#"{"a":[1,"€"]}"#),
        result: Some(Json::from_text("true")),
        allow: true,
        reasons: vec!["n".to_owned(), "v".to_owned()],
        engine: String::new(),
        duration_us: 300,
    }
}

#[test]
fn both_ways_write_the_same_and_read_the_same() {
    let schema = schema();
    let mut chance = Chance(1);
    for _ in 0..1_000 {
        let event = chance.decided();
        let datum = encode(&event);
        assert_eq!(datum, DECIDED.encode(&PolicyDecided::from(&event)).unwrap());
        assert_eq!(by_hand(&schema, &datum).unwrap(), event);
        assert_eq!(by_serde(&schema, &datum).unwrap(), event);
        for _ in 0..20 {
            is_event(&schema, &chance.spoilt(&datum));
        }
    }
}

#[test]
fn both_ways_refuse_the_same_of_every_spoilt_byte_and_every_end() {
    let schema = schema();
    try_every_byte_and_end(&encode(&small()), |datum| is_event(&schema, datum));
}

#[test]
fn an_id_may_be_written_in_every_way_that_was_read_before() {
    let schema = schema();
    let event = small();
    let datum = encode(&event);
    let id = event.decision_id.as_uuid();
    assert!(datum[1..].starts_with(id.to_string().as_bytes()));
    let rest = &datum[1 + id.to_string().len()..];
    for (text, known) in [
        (id.simple().to_string(), true),
        (id.braced().to_string(), true),
        (id.urn().to_string(), true),
        (id.to_string().to_uppercase(), true),
        (String::new(), false),
        ("d".to_owned(), false),
        (format!("{id} "), false),
    ] {
        // Lengths below 64 take one byte.
        let length = [2 * text.len() as u8];
        let other = [&length[..], text.as_bytes(), rest].concat();
        assert_eq!(is_event(&schema, &other), known, "{text}");
    }
}

#[test]
fn what_is_called_json_and_is_none_is_refused() {
    let schema = schema();
    let mut event = small();
    event.input = Json::from_text("{");
    assert!(!is_event(&schema, &encode(&event)));
    let mut event = small();
    event.result = Some(Json::from_text(""));
    assert!(!is_event(&schema, &encode(&event)));
}

#[test]
fn reasons_may_come_in_blocks_with_or_without_their_size() {
    let schema = schema();
    let datum = encode(&small());
    let reasons: [u8; 6] = [4, 2, b'n', 2, b'v', 0];
    let at = datum
        .windows(reasons.len())
        .position(|window| *window == reasons)
        .unwrap();
    let rest = &datum[at + reasons.len()..];
    for (blocks, known) in [
        (&[2, 2, b'n', 2, 2, b'v', 0][..], true),
        (&[3, 4, 2, b'n', 2, b'v', 0], true),
        (&[2, 2, b'n', 1, 4, 2, b'v', 0], true),
        (&[2, 2, b'n', 1, 2, b'v', 0], false),
        (&[6, 2, b'n', 2, b'v', 0], false),
    ] {
        let other = [&datum[..at], blocks, rest].concat();
        assert_eq!(is_event(&schema, &other), known, "{blocks:?}");
        if known {
            assert_eq!(by_hand(&schema, &other).unwrap(), small());
        }
    }
}

#[test]
fn a_duration_that_no_long_can_say_is_not_written() {
    let mut event = small();
    event.duration_us = i64::MAX as u64 + 1;
    assert!(DECIDED.encode(&PolicyDecided::from(&event)).is_err());
    assert!(Decisions::encode(&PolicyEvent::Decided(event)).is_err());
}
