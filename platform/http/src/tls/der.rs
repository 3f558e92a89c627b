//! As much of DER as it takes to say how long a certificate is valid and what
//! its subject is called. Whether it is to be believed is webpki's to say, which
//! has read it before and reads the alternative names.

/// What is read of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The distinguished name, as RFC 4514 writes it; empty where there is none.
    pub(super) subject: String,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    /// Seconds since 1970.
    pub(super) not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which holds the version.
const VERSION: u8 = 0xa0;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// Attributes that RFC 4514 has a short name for.
const SHORT_NAMES: [(&[u8], &str); 9] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01],
        "UID",
    ),
];

/// None when it is no certificate.
pub(super) fn facts(certificate: &[u8]) -> Option<Facts> {
    let (_, certificate, _) = element(certificate)?;
    let (SEQUENCE, mut fields, _) = element(certificate)? else {
        return None;
    };
    let (first, _, rest) = element(fields)?;
    if first == VERSION {
        fields = rest;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (SEQUENCE, validity, fields) = element(fields)? else {
        return None;
    };
    let (kind, not_before, rest) = element(validity)?;
    let not_before = seconds(kind, not_before)?;
    let (kind, not_after, _) = element(rest)?;
    let not_after = seconds(kind, not_after)?;
    let (SEQUENCE, subject, _) = element(fields)? else {
        return None;
    };
    Some(Facts {
        subject: distinguished_name(subject)?,
        not_before,
        not_after,
    })
}

/// The kind and content of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, short], mut rest) = bytes.split_first_chunk()?;
    let length = if short < 0x80 {
        usize::from(short)
    } else {
        let (digits, after) = rest.split_at_checked(usize::from(short & 0x7f))?;
        rest = after;
        // A certificate is no larger than its handshake message.
        (digits.len() <= 3).then(|| {
            digits
                .iter()
                .fold(0, |sum, digit| (sum << 8) | usize::from(*digit))
        })?
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// The last name first, as RFC 4514 wants it. None when it cannot be read:
/// half a name may be somebody else's.
fn distinguished_name(mut names: &[u8]) -> Option<String> {
    let mut written = Vec::new();
    while !names.is_empty() {
        let (SET, mut attributes, rest) = element(names)? else {
            return None;
        };
        names = rest;
        let mut together = Vec::new();
        while !attributes.is_empty() {
            let (SEQUENCE, attribute, rest) = element(attributes)? else {
                return None;
            };
            attributes = rest;
            together.push(attribute_text(attribute)?);
        }
        written.push(together.join("+"));
    }
    written.reverse();
    Some(written.join(","))
}

fn attribute_text(attribute: &[u8]) -> Option<String> {
    let (OBJECT_IDENTIFIER, kind, value) = element(attribute)? else {
        return None;
    };
    let (form, content, _) = element(value)?;
    let short = SHORT_NAMES.iter().find(|(oid, _)| *oid == kind);
    let text = match form {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => std::str::from_utf8(content).ok(),
        _ => None,
    };
    // What has no short name or is no text is written as its bytes.
    Some(match (short, text) {
        (Some((_, name)), Some(text)) => format!("{name}={}", escaped(text)),
        (Some((_, name)), None) => format!("{name}=#{}", hex::encode(value)),
        (None, _) => format!("{}=#{}", dotted(kind)?, hex::encode(value)),
    })
}

/// Text that no reader takes for the end of a value or the next name.
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        match c {
            '\0' => escaped.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', c]),
            '#' if at == 0 => escaped.push_str("\\#"),
            ' ' if at == 0 || at == last => escaped.push_str("\\ "),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An object identifier in digits and dots.
fn dotted(oid: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number.checked_mul(128)? + u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - first * 40]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    Some(numbers.join("."))
}

/// `YYMMDDhhmmssZ` (1950 to 2049) or `YYYYMMDDhhmmssZ`, the forms that RFC 5280 allows.
fn seconds(kind: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (
                if year < 50 {
                    2_000 + year
                } else {
                    1_900 + year
                },
                rest,
            )
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if text.len() != 10 {
        return None;
    }
    let part = |at: usize| text.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March, so
/// that the day that may be missing is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let before = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + before - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_date_are_read() {
        assert_eq!(seconds(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, b"261126213300Z"), Some(1_795_728_780));
        assert_eq!(
            seconds(GENERALIZED_TIME, b"20000229235959Z"),
            Some(951_868_799)
        );
        assert_eq!(
            seconds(GENERALIZED_TIME, b"40960101000000Z"),
            Some(67_090_118_400)
        );
        for bad in [
            &b"70010100000Z"[..],
            b"7001010000000",
            b"",
            b"xx0101000000Z",
        ] {
            assert_eq!(seconds(UTC_TIME, bad), None);
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x02\x30\x05",
            &[0x30; 64],
        ] {
            assert_eq!(facts(bad), None);
        }
    }

    /// One attribute in a set of its own.
    fn name(oid: &[u8], form: u8, text: &[u8]) -> Vec<u8> {
        let wrap = |kind: u8, content: Vec<u8>| {
            let mut bytes = vec![kind, u8::try_from(content.len()).unwrap()];
            bytes.extend(content);
            bytes
        };
        let mut attribute = wrap(OBJECT_IDENTIFIER, oid.to_vec());
        attribute.extend(wrap(form, text.to_vec()));
        wrap(SET, wrap(SEQUENCE, attribute))
    }

    #[test]
    fn a_subject_is_written_as_the_rfc_says() {
        let mut names = name(&[0x55, 0x04, 0x0a], PRINTABLE_STRING, b"Acme, Inc.");
        names.extend(name(&[0x55, 0x04, 0x03], UTF8_STRING, b" zapier#1"));
        assert_eq!(
            distinguished_name(&names).as_deref(),
            Some("CN=\\ zapier#1,O=Acme\\, Inc.")
        );
        // An e-mail address has no short name.
        let email = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
        assert_eq!(
            distinguished_name(&name(&email, IA5_STRING, b"a@b")).as_deref(),
            Some("1.2.840.113549.1.9.1=#1603614062")
        );
        assert_eq!(distinguished_name(&[]).as_deref(), Some(""));
        assert_eq!(distinguished_name(&names[..names.len() - 1]), None);
    }
}
