use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::known::Known;

/// The name of a header. Those of our own records are not allocated.
pub type HeaderName = Cow<'static, str>;

/// The headers of a record that was read, in their order. A name may come several
/// times.
///
/// A record has a dozen of them and a replay reads millions of records: all lie
/// in one buffer, and of a name of ours only its number is kept.
#[derive(Clone, Default)]
pub struct Headers {
    buffer: Bytes,
    marks: Box<[Mark]>,
}

/// Where a header stands in the buffer.
#[derive(Debug, Clone, Copy)]
struct Mark {
    name: Name,
    /// Of its value.
    begin: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
enum Name {
    Known(Known),
    /// Stands before the value and has so many bytes.
    Other(u32),
}

impl Headers {
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &[u8])> {
        self.marks
            .iter()
            .map(|mark| (self.name(mark), self.value(mark)))
    }

    /// As [`Headers::iter`], to be written again; the values are not copied.
    pub fn to_vec(&self) -> Vec<(HeaderName, Bytes)> {
        let owned = |mark: &Mark| {
            let name = match mark.name {
                Name::Known(known) => Cow::Borrowed(known.as_str()),
                Name::Other(_) => Cow::Owned(self.name(mark).to_owned()),
            };
            (name, self.buffer.slice_ref(self.value(mark)))
        };
        self.marks.iter().map(owned).collect()
    }

    /// The value of the first header of each name of ours.
    pub(super) fn first_of_ours(&self) -> [Option<&[u8]>; Known::COUNT] {
        let mut found = [None; Known::COUNT];
        for mark in &self.marks {
            if let Name::Known(known) = mark.name {
                found[known.index()].get_or_insert_with(|| self.value(mark));
            }
        }
        found
    }

    /// The value of the first header of this name.
    pub(super) fn first(&self, wanted: Known) -> Option<&[u8]> {
        let is_wanted = |mark: &&Mark| matches!(mark.name, Name::Known(it) if it == wanted);
        let mark = self.marks.iter().find(is_wanted)?;
        Some(self.value(mark))
    }

    fn name(&self, mark: &Mark) -> &str {
        match mark.name {
            Name::Known(known) => known.as_str(),
            Name::Other(length) => {
                let text = self.part(mark.begin.saturating_sub(length), mark.begin);
                // It was text when it was put in.
                std::str::from_utf8(text).unwrap_or_default()
            }
        }
    }

    fn value(&self, mark: &Mark) -> &[u8] {
        self.part(mark.begin, mark.end)
    }

    fn part(&self, begin: u32, end: u32) -> &[u8] {
        self.buffer
            .get(begin as usize..end as usize)
            .unwrap_or_default()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, Bytes::copy_from_slice(value));
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut packing = Packing::default();
        for (name, value) in headers {
            packing.put(name.as_ref(), value.as_ref());
        }
        packing.finish().0
    }
}

/// Headers on their way into one buffer, behind whatever the buffer holds.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    buffer: Vec<u8>,
    marks: Vec<Mark>,
}

impl Packing {
    pub(crate) fn behind(buffer: Vec<u8>, headers: usize) -> Self {
        Self {
            buffer,
            marks: Vec::with_capacity(headers),
        }
    }

    pub(crate) fn put(&mut self, name: &str, value: &[u8]) {
        let name = match Known::find(name, self.marks.len()) {
            Some(known) => Name::Known(known),
            None => {
                self.buffer.extend_from_slice(name.as_bytes());
                Name::Other(position(name.len()))
            }
        };
        let begin = position(self.buffer.len());
        self.buffer.extend_from_slice(value);
        let end = position(self.buffer.len());
        self.marks.push(Mark { name, begin, end });
    }

    /// The headers, and the whole buffer.
    pub(crate) fn finish(self) -> (Headers, Bytes) {
        let buffer = Bytes::from(self.buffer);
        let headers = Headers {
            buffer: buffer.clone(),
            marks: self.marks.into_boxed_slice(),
        };
        (headers, buffer)
    }
}

/// A record is never as large as this can count: the driver refuses one from a
/// gigabyte on.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [(&str, &[u8]); 5] = [
        ("ce_id", b"1"),
        ("x-other", b"\xff\xfe"),
        ("ce_id", b"2"),
        ("", b""),
        ("x-empty", b""),
    ];

    #[test]
    fn headers_come_out_as_they_went_in() {
        let headers: Headers = PAIRS.into_iter().collect();
        assert_eq!(headers.len(), PAIRS.len());
        assert!(headers.iter().eq(PAIRS));
        let again: Headers = headers.to_vec().into_iter().collect();
        assert_eq!(again, headers);
        let other: Headers = PAIRS.into_iter().rev().collect();
        assert_ne!(other, headers);
    }

    #[test]
    fn what_stands_before_them_in_the_buffer_is_none_of_them() {
        let mut packing = Packing::behind(b"key and value".to_vec(), PAIRS.len());
        for (name, value) in PAIRS {
            packing.put(name, value);
        }
        let (headers, buffer) = packing.finish();
        assert!(headers.iter().eq(PAIRS));
        assert!(buffer.starts_with(b"key and value"));
    }

    #[test]
    fn of_one_name_the_first_is_found() {
        let headers: Headers = PAIRS.into_iter().collect();
        let found: Vec<&[u8]> = headers.first_of_ours().into_iter().flatten().collect();
        assert_eq!(found, [b"1"]);
        assert_eq!(headers.first(Known::ID), Some(&b"1"[..]));
        assert_eq!(headers.first(Known::TYPE), None);
    }

    #[test]
    fn names_of_ours_are_not_allocated_wherever_they_stand() {
        for known in Known::all() {
            let headers: Headers = [("x-first", ""), (known.as_str(), "")]
                .into_iter()
                .collect();
            let names: Vec<HeaderName> = headers.to_vec().into_iter().map(|it| it.0).collect();
            assert!(matches!(names[0], Cow::Owned(_)));
            assert!(matches!(names[1], Cow::Borrowed(name) if name == known.as_str()));
        }
    }
}
