//! Durations as people write them: `500ms`, `30s`, `5m`, `1h`.

use serde_json::Value;

use super::fields::Fields;

const RULE: &str = "must be a duration from 1ms to 168h such as 500ms, 30s, 5m or 1h";
const LONGEST_MS: u64 = 7 * 24 * 3_600_000;

/// A required field with a duration, in milliseconds.
pub(super) fn read(fields: &mut Fields<'_>, field: &'static str) -> u64 {
    let Some(value) = fields.required(field) else {
        return 0;
    };
    let milliseconds = match &value {
        Value::String(text) => parse(text),
        _ => None,
    };
    match milliseconds {
        Some(milliseconds) if (1..=LONGEST_MS).contains(&milliseconds) => milliseconds,
        _ => {
            fields.issue(field, RULE);
            0
        }
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_people_write() {
        assert_eq!(parse("500ms"), Some(500));
        assert_eq!(parse("30s"), Some(30_000));
        assert_eq!(parse("5m"), Some(300_000));
        assert_eq!(parse("1h"), Some(3_600_000));
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "1 s",
            "1h30m",
            "99999999999999999999h",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
