//! Event metadata as record headers: the Kafka binary mode of CloudEvents 1.0,
//! and what CloudEvents has no attribute for under `mesh-`.

use std::borrow::Cow;
use std::str::FromStr;

use bytes::Bytes;
use domain_kernel::{Actor, CorrelationId, EventId, Metadata, TenantId, Timestamp};

use crate::MalformedRecord;
use crate::encoder::CE_TYPE_PREFIX;

const CONTENT_TYPE: &str = "content-type";
const AVRO: &str = "application/avro";
const SPEC_VERSION: &str = "ce_specversion";
const ID: &str = "ce_id";
const TYPE: &str = "ce_type";
const SOURCE: &str = "ce_source";
const TIME: &str = "ce_time";
const SUBJECT: &str = "ce_subject";
const TENANT: &str = "mesh-tenant";
const CORRELATION: &str = "mesh-correlation";
const CAUSATION: &str = "mesh-causation";
const VERSION: &str = "mesh-version";
const TRACEPARENT: &str = "traceparent";
const ACTOR: &str = "mesh-actor";

/// The name of a header. Those of our own records are not allocated: a record
/// has a dozen of them, and a replay reads millions of records.
pub type HeaderName = Cow<'static, str>;

type Headers = [(HeaderName, Bytes)];

/// The names that every record of ours has, or may have.
const KNOWN: [&str; 13] = [
    SPEC_VERSION,
    ID,
    TYPE,
    SOURCE,
    TIME,
    SUBJECT,
    CONTENT_TYPE,
    TENANT,
    CORRELATION,
    CAUSATION,
    VERSION,
    TRACEPARENT,
    ACTOR,
];

/// `expected` is where it stands among `KNOWN` if the record is one of ours.
pub(crate) fn name_of(name: &str, expected: usize) -> HeaderName {
    if let Some(known) = KNOWN.get(expected)
        && *known == name
    {
        return Cow::Borrowed(known);
    }
    match KNOWN.into_iter().find(|known| *known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.to_owned()),
    }
}

pub(crate) fn write(name: &str, meta: &Metadata) -> Vec<(HeaderName, Bytes)> {
    let mut headers = Vec::with_capacity(14);
    let mut put = |header: &'static str, value: String| {
        headers.push((Cow::Borrowed(header), Bytes::from(value)));
    };
    put(SPEC_VERSION, "1.0".to_owned());
    put(ID, meta.id.to_string());
    put(TYPE, format!("{CE_TYPE_PREFIX}{name}"));
    put(SOURCE, meta.source.clone());
    put(TIME, meta.at.to_rfc3339());
    put(SUBJECT, meta.stream.clone());
    put(CONTENT_TYPE, AVRO.to_owned());
    put(TENANT, meta.tenant.as_str().to_owned());
    put(CORRELATION, meta.correlation.to_string());
    if let Some(causation) = meta.causation {
        put(CAUSATION, causation.to_string());
    }
    put(VERSION, meta.version.to_string());
    if let Some(traceparent) = &meta.traceparent {
        put(TRACEPARENT, traceparent.clone());
    }
    if let Some(actor) = &meta.actor {
        put(ACTOR, actor.as_str().to_owned());
    }
    headers
}

/// Headers of ours by what they are called, found in one pass over the record.
#[derive(Default)]
struct Found<'a> {
    spec_version: Value<'a>,
    id: Value<'a>,
    source: Value<'a>,
    time: Value<'a>,
    subject: Value<'a>,
    tenant: Value<'a>,
    correlation: Value<'a>,
    causation: Value<'a>,
    version: Value<'a>,
    traceparent: Value<'a>,
    actor: Value<'a>,
}

impl<'a> Found<'a> {
    /// The first of each name counts.
    fn among(headers: &'a Headers) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let slot = match name.as_ref() {
                SPEC_VERSION => &mut found.spec_version,
                ID => &mut found.id,
                SOURCE => &mut found.source,
                TIME => &mut found.time,
                SUBJECT => &mut found.subject,
                TENANT => &mut found.tenant,
                CORRELATION => &mut found.correlation,
                CAUSATION => &mut found.causation,
                VERSION => &mut found.version,
                TRACEPARENT => &mut found.traceparent,
                ACTOR => &mut found.actor,
                _ => continue,
            };
            slot.0.get_or_insert(value);
        }
        found
    }
}

/// What stands in a header, if the record has it.
#[derive(Default, Clone, Copy)]
struct Value<'a>(Option<&'a Bytes>);

impl<'a> Value<'a> {
    /// `header` is its name, for the error.
    fn optional(self, header: &'static str) -> Result<Option<&'a str>, MalformedRecord> {
        match self.0.map(|value| std::str::from_utf8(value)) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(MalformedRecord::NotText { header }),
        }
    }

    fn text(self, header: &'static str) -> Result<&'a str, MalformedRecord> {
        self.optional(header)?
            .ok_or(MalformedRecord::MissingHeader { header })
    }

    fn not_empty(self, header: &'static str) -> Result<&'a str, MalformedRecord> {
        match self.text(header)? {
            "" => Err(bad(header, "text that says something")),
            text => Ok(text),
        }
    }
}

pub(crate) fn read(headers: &Headers) -> Result<Metadata, MalformedRecord> {
    let found = Found::among(headers);
    if found.spec_version.text(SPEC_VERSION)? != "1.0" {
        return Err(bad(SPEC_VERSION, "1.0"));
    }
    let causation = match found.causation.optional(CAUSATION)? {
        Some(text) => Some(parse::<EventId>(text, CAUSATION, "a UUID")?),
        None => None,
    };
    let version = found.version.text(VERSION)?;
    let version: u64 = parse(version, VERSION, "a whole number from 1")?;
    if version == 0 {
        return Err(bad(VERSION, "a whole number from 1"));
    }
    let correlation = found.correlation.text(CORRELATION)?;
    Ok(Metadata {
        id: parse(found.id.text(ID)?, ID, "a UUID")?,
        tenant: TenantId::new(found.tenant.not_empty(TENANT)?),
        correlation: parse::<CorrelationId>(correlation, CORRELATION, "a UUID")?,
        causation,
        stream: found.subject.not_empty(SUBJECT)?.to_owned(),
        version,
        at: Timestamp::parse_rfc3339(found.time.text(TIME)?)
            .map_err(|_| bad(TIME, "an RFC 3339 time in UTC"))?,
        source: found.source.not_empty(SOURCE)?.to_owned(),
        // A malformed one must not cost the event, and must not travel on.
        traceparent: found
            .traceparent
            .optional(TRACEPARENT)
            .ok()
            .flatten()
            .filter(|text| platform_telemetry::valid_traceparent(text))
            .map(str::to_owned),
        // Absent on what was recorded before there were actors.
        actor: match found.actor.optional(ACTOR)? {
            None => None,
            Some("") => return Err(bad(ACTOR, "text that says something")),
            Some(actor) => Some(Actor::new(actor)),
        },
    })
}

pub(crate) fn event_name(headers: &Headers) -> Result<&str, MalformedRecord> {
    let found = headers.iter().find(|(name, _)| name == TYPE);
    let text = Value(found.map(|(_, value)| value)).text(TYPE)?;
    match text.strip_prefix(CE_TYPE_PREFIX) {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(bad(TYPE, "a type of ours")),
    }
}

fn bad(header: &'static str, expected: &'static str) -> MalformedRecord {
    MalformedRecord::BadHeader { header, expected }
}

fn parse<T: FromStr>(
    text: &str,
    header: &'static str,
    expected: &'static str,
) -> Result<T, MalformedRecord> {
    text.parse().map_err(|_| bad(header, expected))
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

    fn with(header: &str, value: Option<&[u8]>) -> Vec<(HeaderName, Bytes)> {
        let mut headers = write("DeliveryAccepted", &metadata());
        headers.retain(|(name, _)| name != header);
        if let Some(value) = value {
            headers.push((name_of(header, 0), Bytes::copy_from_slice(value)));
        }
        headers
    }

    #[test]
    fn what_is_written_is_read() {
        let headers = write("DeliveryAccepted", &metadata());
        assert_eq!(read(&headers), Ok(metadata()));
        assert_eq!(event_name(&headers), Ok("DeliveryAccepted"));
    }

    #[test]
    fn names_of_ours_are_not_allocated_wherever_they_stand() {
        for (index, name) in KNOWN.into_iter().enumerate() {
            for expected in [index, 0, 99] {
                assert!(matches!(name_of(name, expected), Cow::Borrowed(found) if found == name));
            }
        }
        assert!(matches!(name_of("x-other", 3), Cow::Owned(found) if found == "x-other"));
    }

    #[test]
    fn what_is_optional_may_be_absent() {
        let mut meta = metadata();
        meta.causation = None;
        meta.traceparent = None;
        meta.actor = None;
        let headers = write("DeliveryAccepted", &meta);
        assert!(
            !headers
                .iter()
                .any(|(name, _)| [CAUSATION, TRACEPARENT, ACTOR].contains(&name.as_ref()))
        );
        assert_eq!(read(&headers), Ok(meta));
    }

    #[test]
    fn a_missing_header_is_named() {
        for header in [
            SPEC_VERSION,
            ID,
            SOURCE,
            TIME,
            SUBJECT,
            TENANT,
            CORRELATION,
            VERSION,
        ] {
            let found = read(&with(header, None));
            assert_eq!(found, Err(MalformedRecord::MissingHeader { header }));
        }
        let found = with(TYPE, None);
        let found = event_name(&found);
        assert_eq!(found, Err(MalformedRecord::MissingHeader { header: TYPE }));
    }

    #[test]
    fn a_bad_header_is_named() {
        for (header, value) in [
            (SPEC_VERSION, "0.3"),
            (ID, "not-a-uuid"),
            (ID, ""),
            (SOURCE, ""),
            (TIME, "yesterday"),
            (TIME, "2026-02-30T00:00:00Z"),
            (SUBJECT, ""),
            (TENANT, ""),
            (CORRELATION, "1"),
            (CAUSATION, ""),
            (ACTOR, ""),
            (VERSION, "0"),
            (VERSION, "-1"),
            (VERSION, "99999999999999999999999"),
        ] {
            match read(&with(header, Some(value.as_bytes()))) {
                Err(MalformedRecord::BadHeader { header: named, .. }) => assert_eq!(named, header),
                found => panic!("{header}={value}: {found:?}"),
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        for header in [ID, TIME, TENANT, CAUSATION, VERSION, ACTOR] {
            let found = read(&with(header, Some(b"\xff\xfe")));
            assert_eq!(found, Err(MalformedRecord::NotText { header }));
        }
    }

    #[test]
    fn a_malformed_traceparent_is_dropped() {
        for value in [
            &b"\xff"[..],
            b"00-00000000000000000000000000000000-0000000000000000-00",
        ] {
            let meta = read(&with(TRACEPARENT, Some(value))).unwrap();
            assert_eq!(meta.traceparent, None);
        }
    }

    #[test]
    fn a_foreign_type_is_refused() {
        for value in ["com.example.Thing", "cloud.agentmesh.", ""] {
            let headers = with(TYPE, Some(value.as_bytes()));
            assert!(event_name(&headers).is_err(), "{value}");
        }
    }
}
