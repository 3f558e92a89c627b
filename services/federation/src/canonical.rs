use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// JSON in one spelling: fields in the order of their names, no white space,
/// numbers of one value written one way. Two texts with the same canonical form
/// say the same.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Lowercase hexadecimal SHA-256 of canonical JSON.
pub(crate) fn sha256(canonical: &str) -> String {
    hex::encode(Sha256::digest(canonical.as_bytes()))
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            text.push('{');
            for (i, name) in names.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write_string(name, text);
                text.push(':');
                write(&fields[name], text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            // Whole numbers that a float holds exactly: 5, 5.0 and 5e0 are one.
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => {
                // Negative zero is zero.
                let _ = write!(text, "{:.0}", float + 0.0);
            }
            _ => {
                let _ = write!(text, "{number}");
            }
        },
        Value::String(string) => write_string(string, text),
        Value::Bool(_) | Value::Null => {
            let _ = write!(text, "{value}");
        }
    }
}

fn write_string(string: &str, text: &mut String) {
    let _ = write!(text, "{}", Value::from(string));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn order_white_space_and_spelling_do_not_count() {
        assert_eq!(
            of(r#"{ "b": [1.0, 129.90, -0.0], "a": {"y": null, "x": "\u00e9"} }"#),
            r#"{"a":{"x":"é","y":null},"b":[1,129.9,0]}"#
        );
        assert_eq!(of("5"), of("5.0"));
    }

    #[test]
    fn everything_else_counts() {
        let texts = [
            "null",
            "0",
            "\"0\"",
            "[]",
            "{}",
            "[0]",
            "[0,1]",
            "[1,0]",
            "false",
            "\"\"",
            "9007199254740993",
            "9007199254740992",
            "0.1",
        ];
        let forms: std::collections::BTreeSet<_> = texts.iter().map(|text| of(text)).collect();
        assert_eq!(forms.len(), texts.len());
    }

    #[test]
    fn a_digest_never_changes() {
        // Context ids depend on it.
        assert_eq!(
            sha256(&of("{}")),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }
}
