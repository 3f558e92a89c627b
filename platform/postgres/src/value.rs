//! Values on their way into and out of tables.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Text as Postgres can store it: its `text` cannot hold the character NUL,
/// which becomes U+FFFD. Whoever looks something up passes the key through here too.
pub fn storable(text: &str) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text.to_owned()
    }
}

/// As [`storable`], of text that is needed nowhere else.
pub fn into_storable(text: String) -> String {
    if text.contains('\0') {
        storable(&text)
    } else {
        text
    }
}

/// A `timestamptz` from microseconds since 1970.
pub fn timestamptz(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

/// Microseconds since 1970 from a `timestamptz`.
pub fn micros(at: SystemTime) -> i64 {
    let whole = |distance: Duration| i64::try_from(distance.as_micros()).unwrap_or(i64::MAX);
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

/// One column of many rows, as the array that `unnest` takes.
pub fn column<'a, R, T: 'a>(rows: &'a [R], pick: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were() {
        for at in [0, 1, -1, 1_760_000_000_123_456, -62_135_596_800_000_000] {
            assert_eq!(micros(timestamptz(at)), at);
        }
    }

    #[test]
    fn nul_is_replaced_and_nothing_else_is() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert_eq!(storable("grüß"), "grüß");
        for text in ["a\0b", "grüß", ""] {
            assert_eq!(into_storable(text.to_owned()), storable(text));
        }
    }
}
