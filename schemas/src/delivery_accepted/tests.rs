//! By hand and by serde: the same bytes, the same events, the same refusals.

use domain_delivery::{AuthMethod, DeliveryEvent, Quarantine, RequestLine};
use domain_kernel::{Codec, CodecError};

use super::*;
use crate::{
    Deliveries, WriterSchema,
    chance::{Chance, try_every_byte_and_end},
    deliveries::ACCEPTED,
};

impl Chance {
    fn event(&mut self) -> domain::DeliveryAccepted {
        domain::DeliveryAccepted {
            source_id: self.text(),
            delivery_id: self.text(),
            space: Space::new(self.text()),
            scheme: self.text(),
            auth: [AuthMethod::HmacSha256, AuthMethod::Mtls][self.below(2)],
            key_id: self.maybe(Self::text),
            content_type: self.text(),
            body: (0..self.below(300))
                .map(|_| self.below(256) as u8)
                .collect(),
            body_sha256: self.text(),
            signed_headers: (0..self.below(5))
                .map(|_| (self.text(), self.text()))
                .collect(),
            event_type: self.text(),
            subject: self.maybe(Self::text),
            request: self.maybe(|chance| RequestLine {
                method: chance.text(),
                uri: chance.text(),
            }),
            source_version: self.maybe(|chance| (i64::MAX as u64) >> chance.below(64)),
            quarantine: self.maybe(|_| Quarantine::NoContent),
        }
    }
}

fn schema() -> WriterSchema {
    Deliveries::parse_schema(ACCEPTED.name(), ACCEPTED.entry.text).unwrap()
}

fn by_hand(schema: &WriterSchema, datum: &[u8]) -> Result<domain::DeliveryAccepted, CodecError> {
    Deliveries::decode(ACCEPTED.name(), schema, datum).map(|event| match event {
        DeliveryEvent::Accepted(accepted) => accepted,
        DeliveryEvent::Refused(refused) => panic!("{refused:?}"),
    })
}

fn by_serde(schema: &WriterSchema, datum: &[u8]) -> Result<domain::DeliveryAccepted, CodecError> {
    schema.read_as::<DeliveryAccepted<'_>, _>(ACCEPTED.name(), datum)
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

fn encode(event: &domain::DeliveryAccepted) -> Vec<u8> {
    Deliveries::encode(&DeliveryEvent::Accepted(event.clone())).unwrap()
}

fn small() -> domain::DeliveryAccepted {
    domain::DeliveryAccepted {
        source_id: "shop".to_owned(),
        delivery_id: "ü".to_owned(),
        space: Space::new("s"),
        scheme: String::new(),
        auth: AuthMethod::Mtls,
        key_id: Some("k".to_owned()),
        content_type: "a/b".to_owned(),
        body: vec![0xff; 70],
        body_sha256: "0f".to_owned(),
        signed_headers: vec![("n".to_owned(), "v".to_owned()); 2],
        event_type: "e".to_owned(),
        subject: None,
        request: Some(RequestLine {
            method: "GET".to_owned(),
            uri: "/€".to_owned(),
        }),
        source_version: Some(300),
        quarantine: Some(Quarantine::NoContent),
    }
}

#[test]
fn both_ways_write_the_same_and_read_the_same() {
    let schema = schema();
    let mut chance = Chance(1);
    for _ in 0..1_000 {
        let event = chance.event();
        let datum = encode(&event);
        assert_eq!(
            datum,
            ACCEPTED.encode(&DeliveryAccepted::from(&event)).unwrap()
        );
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
fn headers_may_come_in_blocks_with_or_without_their_size() {
    let schema = schema();
    let datum = encode(&small());
    let pairs: [u8; 10] = [4, 2, b'n', 2, b'v', 2, b'n', 2, b'v', 0];
    let at = datum
        .windows(10)
        .position(|window| *window == pairs)
        .unwrap();
    let with = |pairs: &[u8]| [&datum[..at], pairs, &datum[at + 10..]].concat();
    let one = [2, b'n', 2, b'v'];
    for (count, known) in [
        (&[1, 8][..], true),
        // The size says nothing to those that read the block.
        (&[1, 0xff, 1], true),
        (&[1], false),
        (&[3, 8], false),
        (&[0xff; 10], false),
        (
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 8],
            false,
        ),
        (
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            false,
        ),
        // Two, in more bytes than it needs and in more than there may be.
        (
            &[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            true,
        ),
        (
            &[
                0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,
            ],
            false,
        ),
        // Bits beyond the 64th.
        (
            &[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
            false,
        ),
    ] {
        let blocks = with(&[&[2], &one[..], count, &one, &[0]].concat());
        assert_eq!(is_event(&schema, &blocks), known, "{count:?}");
        if known {
            assert_eq!(by_hand(&schema, &blocks).unwrap(), small());
        }
    }
}

#[test]
fn a_version_that_no_long_can_say_is_not_written() {
    let mut event = small();
    event.source_version = Some(i64::MAX as u64 + 1);
    assert!(ACCEPTED.encode(&DeliveryAccepted::from(&event)).is_err());
    assert!(Deliveries::encode(&DeliveryEvent::Accepted(event)).is_err());
}

#[test]
fn what_was_written_before_is_read_by_serde() {
    let mut event = small();
    (event.request, event.source_version, event.quarantine) = (None, None, None);
    let datum = encode(&event);
    let before = include_str!("../../avro/mesh.deliveries/DeliveryAccepted/v1.avsc");
    let before = Deliveries::parse_schema(ACCEPTED.name(), before).unwrap();
    assert_eq!(by_hand(&before, &datum[..datum.len() - 4]).unwrap(), event);
    assert!(by_hand(&before, &datum).is_err());
}
