use std::borrow::Cow;

use bytes::Bytes;

use crate::producer::MAX_RECORD_BYTES;
use crate::{Error, HeaderName, Record};

/// A record on its way to the log. An [`Encoder`](crate::Encoder) makes one of
/// an event, so that no record goes out without its headers and schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub(crate) topic: &'static str,
    /// Where none is given, the key decides.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Vec<(HeaderName, Bytes)>,
    pub(crate) value: Option<Bytes>,
}

impl Outgoing {
    /// A record that could not be handled, unchanged but for the headers
    /// `extra` that say why, on its way to `topic`.
    pub fn dead_letter(topic: &'static str, record: &Record, extra: &[(&str, &str)]) -> Self {
        let mut headers = record.headers.to_vec();
        headers.extend(extra.iter().map(|(name, value)| {
            (
                Cow::Owned((*name).to_owned()),
                Bytes::copy_from_slice(value.as_bytes()),
            )
        }));
        Self {
            topic,
            partition: None,
            key: record.key.clone(),
            headers,
            value: record.value.clone(),
        }
    }

    /// A record that was written before, as it was, to the same partition.
    pub fn again(topic: &'static str, record: &Record) -> Self {
        Self {
            topic,
            partition: Some(record.partition),
            key: record.key.clone(),
            headers: record.headers.to_vec(),
            value: record.value.clone(),
        }
    }

    /// Whether the log takes a record of this size.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it never does.
    pub fn check_size(&self) -> Result<(), Error> {
        let bytes = self.size();
        if bytes <= MAX_RECORD_BYTES {
            return Ok(());
        }
        Err(Error::TooLarge {
            topic: self.topic.to_owned(),
            bytes,
        })
    }

    /// The topic without the prefix.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The partition it is bound to; none where the key decides.
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }

    pub fn headers(&self) -> &[(HeaderName, Bytes)] {
        &self.headers
    }

    pub fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// Appends to that partition, whatever the key says.
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Adds a header behind those that are there.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((
            Cow::Owned(name.to_owned()),
            Bytes::copy_from_slice(value.as_bytes()),
        ));
        self
    }

    /// Leaves out the value.
    #[must_use]
    pub fn without_value(mut self) -> Self {
        self.value = None;
        self
    }

    /// Key, headers and value as the broker counts them, roughly.
    pub(crate) fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 10)
            .sum();
        let body = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        headers + body(&self.key) + body(&self.value) + 64
    }
}
