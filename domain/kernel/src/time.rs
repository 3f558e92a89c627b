//! RFC 3339 text for timestamps. The layer table leaves no room for a calendar
//! library here, and one form in UTC is all that is ever written.

use crate::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Text that is not an RFC 3339 time in UTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time in UTC: {text:?}")]
pub struct InvalidTimestamp {
    pub text: String,
}

impl Timestamp {
    /// RFC 3339 in UTC with six digits of a second: `2026-01-31T08:00:00.000000Z`.
    pub fn to_rfc3339(self) -> String {
        let (text, micros) = self.seconds_text();
        format!("{text}.{micros:06}Z")
    }

    /// RFC 3339 in UTC with three digits of a second, as many HTTP APIs write it.
    pub fn to_rfc3339_millis(self) -> String {
        let (text, micros) = self.seconds_text();
        format!("{text}.{:03}Z", micros / 1_000)
    }

    /// Reads what [`to_rfc3339`](Self::to_rfc3339) writes, with any number of
    /// digits of a second; digits beyond the sixth are cut off.
    ///
    /// # Errors
    /// When the text has another form or names no real date, or is not in UTC.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp {
            text: text.chars().take(40).collect(),
        })
    }

    fn seconds_text(self) -> (String, i64) {
        let seconds = self.as_micros().div_euclid(MICROS_PER_SECOND);
        let micros = self.as_micros().rem_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (
            second_of_day / 3_600,
            second_of_day / 60 % 60,
            second_of_day % 60,
        );
        (
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
            micros,
        )
    }
}

/// Year, month and day of a day counted from 1970-01-01. Years start in March
/// here, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day counted from 1970-01-01: the inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> { digits(bytes.get(from..to)?) };
    for (position, separator) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        (bytes.get(position)? == &separator).then_some(())?;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let real = hour < 24
        && minute < 60
        && second < 60
        && civil(days(year, month, day)) == (year, month, day);
    real.then_some(())?;
    let micros = match text.get(19..)?.strip_suffix('Z')? {
        "" => 0,
        fraction => {
            let fraction = fraction.strip_prefix('.')?.as_bytes();
            let all_digits = !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit);
            all_digits.then_some(())?;
            let kept = &fraction[..fraction.len().min(6)];
            (kept.len()..6).fold(digits(kept)?, |micros, _| micros * 10)
        }
    };
    let seconds = days(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_micros(seconds * MICROS_PER_SECOND + micros))
}

/// The number that a few digits are; every record has some in its headers, so
/// nothing is allocated for them.
fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        Some(number * 10 + digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_709_164_800_000_001, "2024-02-29T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(at.to_rfc3339(), text);
            assert_eq!(Timestamp::parse_rfc3339(text), Ok(at));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..146_097 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "2024-01-01",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00+02:00",
            "2024-01-01T00:00:00.Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00.1é0Z",
            "2024-01-01T00:00:00.1234567xZ",
            "2024-01-01T00:00:00.-1Z",
            "2024-01-01T00:00: 1Z",
        ] {
            assert!(Timestamp::parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fewer_or_more_digits_are_read() {
        for (text, micros) in [
            ("1970-01-01T00:00:01Z", 1_000_000),
            ("1970-01-01T00:00:01.5Z", 1_500_000),
            ("1970-01-01T00:00:01.00001Z", 1_000_010),
            ("1970-01-01T00:00:01.0000019999Z", 1_000_001),
        ] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::parse_rfc3339(text), Ok(at), "{text}");
        }
    }
}
