//! The Confluent wire format: a zero byte, the schema id as four bytes in
//! network order, then the datum.

use bytes::{BufMut, Bytes, BytesMut};

use crate::MalformedRecord;

const MAGIC: u8 = 0;
const PREFIX: usize = 5;

/// Puts the prefix before a datum.
pub fn frame(schema_id: u32, datum: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + datum.len());
    framed.put_u8(MAGIC);
    framed.put_u32(schema_id);
    framed.put_slice(datum);
    framed.freeze()
}

/// Takes a value apart into schema id and datum.
///
/// # Errors
/// When the value is too short or starts with another byte.
pub fn unframe(value: &[u8]) -> Result<(u32, &[u8]), MalformedRecord> {
    match value {
        [MAGIC, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        _ => Err(MalformedRecord::NotFramed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_as_others_write_it() {
        let framed = frame(0x0102_0304, b"datum");
        assert_eq!(&framed[..], b"\x00\x01\x02\x03\x04datum");
        assert_eq!(unframe(&framed), Ok((0x0102_0304, &b"datum"[..])));
    }

    #[test]
    fn an_empty_datum_is_a_datum() {
        assert_eq!(unframe(&frame(7, b"")), Ok((7, &b""[..])));
    }

    #[test]
    fn what_is_not_framed_is_refused() {
        for value in [
            &b""[..],
            b"\x00",
            b"\x00\x00\x00\x01",
            b"\x01\x00\x00\x00\x01x",
            b"{\"a\":1}",
        ] {
            assert_eq!(unframe(value), Err(MalformedRecord::NotFramed));
        }
    }
}
