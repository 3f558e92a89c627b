//! Event metadata as record headers: the Kafka binary mode of CloudEvents 1.0,
//! and what CloudEvents has no attribute for under `mesh-`.

mod known;
mod list;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::str::FromStr;

use bytes::Bytes;
use domain_kernel::{Actor, CorrelationId, EventId, Metadata, TenantId, Timestamp};

use self::known::Known;
pub(crate) use self::list::Packing;
pub use self::list::{HeaderName, Headers};
use crate::MalformedRecord;
use crate::encoder::CE_TYPE_PREFIX;

const SPEC_VERSION: &str = "1.0";
const AVRO: &str = "application/avro";

/// What the values of one record take, roughly.
const VALUE_BYTES: usize = 512;

/// All values lie in one buffer, of which each is a slice: a record has a dozen
/// of them, and most would be an allocation.
pub(crate) fn write(name: &str, meta: &Metadata) -> Vec<(HeaderName, Bytes)> {
    let mut text = String::with_capacity(VALUE_BYTES);
    let mut ends = Vec::with_capacity(Known::COUNT);
    let mut put = |header: Known, value: &dyn Display| {
        // A String takes whatever is written to it.
        let _ = write!(text, "{value}");
        ends.push((header, text.len()));
    };
    put(Known::SPEC_VERSION, &SPEC_VERSION);
    put(Known::ID, &meta.id);
    put(Known::TYPE, &format_args!("{CE_TYPE_PREFIX}{name}"));
    put(Known::SOURCE, &meta.source);
    put(Known::TIME, &meta.at.to_rfc3339());
    put(Known::SUBJECT, &meta.stream);
    put(Known::CONTENT_TYPE, &AVRO);
    put(Known::TENANT, &meta.tenant.as_str());
    put(Known::CORRELATION, &meta.correlation);
    if let Some(causation) = &meta.causation {
        put(Known::CAUSATION, causation);
    }
    put(Known::VERSION, &meta.version);
    if let Some(traceparent) = &meta.traceparent {
        put(Known::TRACEPARENT, traceparent);
    }
    if let Some(actor) = &meta.actor {
        put(Known::ACTOR, &actor.as_str());
    }
    sliced(text, &ends)
}

/// `text` cut at where each header ends, with room for one more header.
fn sliced(text: String, ends: &[(Known, usize)]) -> Vec<(HeaderName, Bytes)> {
    let text = Bytes::from(text);
    let mut headers = Vec::with_capacity(ends.len() + 1);
    let mut begin = 0;
    for (header, end) in ends {
        headers.push((Cow::Borrowed(header.as_str()), text.slice(begin..*end)));
        begin = *end;
    }
    headers
}

/// Headers of ours by what they are called, the first of each name.
struct Found<'a>([Option<&'a [u8]>; Known::COUNT]);

impl<'a> Found<'a> {
    fn among(headers: &'a Headers) -> Self {
        Self(headers.first_of_ours())
    }

    fn optional(&self, header: Known) -> Result<Option<&'a str>, MalformedRecord> {
        self.0[header.index()]
            .map(|value| as_text(header, value))
            .transpose()
    }

    fn text(&self, header: Known) -> Result<&'a str, MalformedRecord> {
        self.optional(header)?.ok_or_else(|| missing(header))
    }

    fn not_empty(&self, header: Known) -> Result<&'a str, MalformedRecord> {
        match self.text(header)? {
            "" => Err(bad(header, "text that says something")),
            text => Ok(text),
        }
    }

    fn parsed<T: FromStr>(
        &self,
        header: Known,
        expected: &'static str,
    ) -> Result<T, MalformedRecord> {
        let parsed = self.text(header)?.parse();
        parsed.map_err(|_| bad(header, expected))
    }
}

pub(crate) fn read(headers: &Headers) -> Result<Metadata, MalformedRecord> {
    let found = Found::among(headers);
    if found.text(Known::SPEC_VERSION)? != SPEC_VERSION {
        return Err(bad(Known::SPEC_VERSION, SPEC_VERSION));
    }
    let causation = match found.optional(Known::CAUSATION)? {
        Some(_) => Some(found.parsed::<EventId>(Known::CAUSATION, "a UUID")?),
        None => None,
    };
    let version: u64 = found.parsed(Known::VERSION, "a whole number from 1")?;
    if version == 0 {
        return Err(bad(Known::VERSION, "a whole number from 1"));
    }
    Ok(Metadata {
        id: found.parsed(Known::ID, "a UUID")?,
        tenant: TenantId::new(found.not_empty(Known::TENANT)?),
        correlation: found.parsed::<CorrelationId>(Known::CORRELATION, "a UUID")?,
        causation,
        stream: found.not_empty(Known::SUBJECT)?.to_owned(),
        version,
        at: Timestamp::parse_rfc3339(found.text(Known::TIME)?)
            .map_err(|_| bad(Known::TIME, "an RFC 3339 time in UTC"))?,
        source: found.not_empty(Known::SOURCE)?.to_owned(),
        // A malformed one must not cost the event, and must not travel on.
        traceparent: found
            .optional(Known::TRACEPARENT)
            .ok()
            .flatten()
            .filter(|text| platform_telemetry::valid_traceparent(text))
            .map(str::to_owned),
        // Absent on what was recorded before there were actors.
        actor: match found.optional(Known::ACTOR)? {
            None => None,
            Some("") => return Err(bad(Known::ACTOR, "text that says something")),
            Some(actor) => Some(Actor::new(actor)),
        },
    })
}

pub(crate) fn event_name(headers: &Headers) -> Result<&str, MalformedRecord> {
    let found = headers.first(Known::TYPE);
    let value = found.ok_or_else(|| missing(Known::TYPE))?;
    let text = as_text(Known::TYPE, value)?;
    match text.strip_prefix(CE_TYPE_PREFIX) {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(bad(Known::TYPE, "a type of ours")),
    }
}

fn as_text(header: Known, value: &[u8]) -> Result<&str, MalformedRecord> {
    std::str::from_utf8(value).map_err(|_| MalformedRecord::NotText {
        header: header.as_str(),
    })
}

fn missing(header: Known) -> MalformedRecord {
    MalformedRecord::MissingHeader {
        header: header.as_str(),
    }
}

fn bad(header: Known, expected: &'static str) -> MalformedRecord {
    MalformedRecord::BadHeader {
        header: header.as_str(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            id: EventId::derive(&["a"]),
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::of_delivery("zapier", "msg_1"),
            causation: Some(EventId::derive(&["b"])),
            stream: "stream é".to_owned(),
            version: 3,
            at: Timestamp::from_micros(1_790_000_000_123_456),
            source: "/agentmesh/gateway".to_owned(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            actor: Some(Actor::new("key:operations")),
        }
    }

    fn with(header: Known, value: Option<&[u8]>) -> Headers {
        let mut headers = write("DeliveryAccepted", &metadata());
        headers.retain(|(name, _)| name != header.as_str());
        if let Some(value) = value {
            headers.push((header.as_str().into(), Bytes::copy_from_slice(value)));
        }
        headers.into_iter().collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let headers = write("DeliveryAccepted", &metadata()).into_iter().collect();
        assert_eq!(read(&headers), Ok(metadata()));
        assert_eq!(event_name(&headers), Ok("DeliveryAccepted"));
    }

    #[test]
    fn each_value_is_its_own_part_of_the_buffer() {
        let headers = write("DeliveryAccepted", &metadata());
        let value = |known: Known| {
            let found = headers.iter().find(|(name, _)| name == known.as_str());
            found.map(|(_, value)| &value[..])
        };
        assert_eq!(headers.len(), Known::COUNT);
        assert_eq!(value(Known::SPEC_VERSION), Some(&b"1.0"[..]));
        assert_eq!(value(Known::SUBJECT), Some("stream é".as_bytes()));
        assert_eq!(value(Known::CONTENT_TYPE), Some(&b"application/avro"[..]));
        assert_eq!(value(Known::ACTOR), Some(&b"key:operations"[..]));
    }

    #[test]
    fn what_is_optional_may_be_absent() {
        let mut meta = metadata();
        meta.causation = None;
        meta.traceparent = None;
        meta.actor = None;
        let headers: Headers = write("DeliveryAccepted", &meta).into_iter().collect();
        assert_eq!(headers.len(), Known::COUNT - 3);
        assert_eq!(read(&headers), Ok(meta));
    }

    #[test]
    fn a_missing_header_is_named() {
        for header in [
            Known::SPEC_VERSION,
            Known::ID,
            Known::SOURCE,
            Known::TIME,
            Known::SUBJECT,
            Known::TENANT,
            Known::CORRELATION,
            Known::VERSION,
        ] {
            let found = read(&with(header, None));
            assert_eq!(
                found,
                Err(MalformedRecord::MissingHeader {
                    header: header.as_str()
                })
            );
        }
        let found = with(Known::TYPE, None);
        let found = event_name(&found);
        assert_eq!(
            found,
            Err(MalformedRecord::MissingHeader {
                header: Known::TYPE.as_str()
            })
        );
    }

    #[test]
    fn a_bad_header_is_named() {
        for (header, value) in [
            (Known::SPEC_VERSION, "0.3"),
            (Known::ID, "not-a-uuid"),
            (Known::ID, ""),
            (Known::SOURCE, ""),
            (Known::TIME, "yesterday"),
            (Known::TIME, "2026-02-30T00:00:00Z"),
            (Known::SUBJECT, ""),
            (Known::TENANT, ""),
            (Known::CORRELATION, "1"),
            (Known::CAUSATION, ""),
            (Known::ACTOR, ""),
            (Known::VERSION, "0"),
            (Known::VERSION, "-1"),
            (Known::VERSION, "99999999999999999999999"),
        ] {
            match read(&with(header, Some(value.as_bytes()))) {
                Err(MalformedRecord::BadHeader { header: named, .. }) => {
                    assert_eq!(named, header.as_str())
                }
                found => panic!("{}={value}: {found:?}", header.as_str()),
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        for header in [
            Known::ID,
            Known::TIME,
            Known::TENANT,
            Known::CAUSATION,
            Known::VERSION,
            Known::ACTOR,
        ] {
            let found = read(&with(header, Some(b"\xff\xfe")));
            assert_eq!(
                found,
                Err(MalformedRecord::NotText {
                    header: header.as_str()
                })
            );
        }
    }

    #[test]
    fn a_malformed_traceparent_is_dropped() {
        for value in [
            &b"\xff"[..],
            b"00-00000000000000000000000000000000-0000000000000000-00",
        ] {
            let meta = read(&with(Known::TRACEPARENT, Some(value))).unwrap();
            assert_eq!(meta.traceparent, None);
        }
    }

    #[test]
    fn a_foreign_type_is_refused() {
        for value in ["com.example.Thing", "cloud.agentmesh.", ""] {
            let headers = with(Known::TYPE, Some(value.as_bytes()));
            assert!(event_name(&headers).is_err(), "{value}");
        }
    }
}
