use bytes::Bytes;
use domain_kernel::Metadata;

use crate::{Headers, MalformedRecord, headers};

/// Where a record stands on the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Without the prefix.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Without the prefix.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// As the producer or the broker stamped it; 0 where there is none.
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub headers: Headers,
    pub value: Option<Bytes>,
}

impl Record {
    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| *header == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The last header of that name, if it is text: what was added later counts,
    /// whatever the record had before.
    pub fn last_header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .rev()
            .find(|(header, _)| *header == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The name of the event without its namespace: `DeliveryAccepted`.
    ///
    /// # Errors
    /// When `ce_type` is missing or not of ours.
    pub fn event_name(&self) -> Result<&str, MalformedRecord> {
        headers::event_name(&self.headers)
    }

    /// What the headers say of the event.
    ///
    /// # Errors
    /// When a header is missing or malformed; the error names it.
    pub fn metadata(&self) -> Result<Metadata, MalformedRecord> {
        headers::read(&self.headers)
    }

    pub fn position(&self) -> Position {
        Position {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
        }
    }
}
