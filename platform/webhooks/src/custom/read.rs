//! A description as an operator writes it, with all that is wrong with it found
//! in one pass.

use std::fmt;

use serde_json::{Map, Value};

use super::template::{Part, Template};
use super::{Algorithm, Custom, Encoding, IdFrom, Place, SignedTime};

/// The fields of a description.
pub const FIELDS: [&str; 7] = [
    "signature",
    "algorithm",
    "secret_encoding",
    "signed",
    "timestamp",
    "delivery_id",
    "event_type_header",
];

const MAX_TEXT: usize = 512;
/// Seconds; more would be no protection against repeats.
const MAX_TOLERANCE: u64 = 86_400;

/// One thing wrong with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// JSON pointer within the description.
    pub pointer: String,
    pub detail: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pointer, self.detail)
    }
}

/// Reads one object, noting what is wrong with it.
struct Object<'a> {
    at: &'static str,
    values: Map<String, Value>,
    issues: &'a mut Vec<Issue>,
}

impl Custom {
    /// # Errors
    /// All that is wrong with the description.
    pub fn read(description: Value) -> Result<Self, Vec<Issue>> {
        let mut issues = Vec::new();
        let read = read(description, &mut issues);
        match read {
            Some(custom) if issues.is_empty() => Ok(custom),
            _ => Err(issues),
        }
    }
}

fn read(description: Value, issues: &mut Vec<Issue>) -> Option<Custom> {
    let mut root = Object::new("", description, issues);
    let signature = root.take("signature");
    let timestamp = root.take("timestamp");
    let delivery_id = root.take("delivery_id");
    let algorithm = root.choice(
        "algorithm",
        &[
            ("hmac-sha256", Algorithm::HmacSha256),
            ("hmac-sha1", Algorithm::HmacSha1),
            ("hmac-sha512", Algorithm::HmacSha512),
            ("ed25519", Algorithm::Ed25519),
        ],
        None,
    );
    let secret_encoding = root.choice(
        "secret_encoding",
        &[
            ("text", Encoding::Text),
            ("hex", Encoding::Hex),
            ("base64", Encoding::Base64),
            ("base64url", Encoding::Base64Url),
        ],
        Some(Encoding::Text),
    );
    let signed = root.text("signed").unwrap_or_else(|| "{body}".to_owned());
    let event_type_header = root.header("event_type_header");
    if signature.is_none() {
        root.issue("signature", "is required");
    }
    root.finish();
    if algorithm == Some(Algorithm::Ed25519) && secret_encoding == Some(Encoding::Text) {
        issues.push(Issue {
            pointer: "/secret_encoding".to_owned(),
            detail: "must be hex, base64 or base64url: an ed25519 public key is 32 bytes"
                .to_owned(),
        });
    }

    let (signature, prefix, encoding) = signature_of(signature?, issues)?;
    let signed = match Template::parse(&signed) {
        Ok(signed) => signed,
        Err(wrong) => {
            issues.push(Issue {
                pointer: "/signed".to_owned(),
                detail: wrong.to_string(),
            });
            return None;
        }
    };
    if !signed.has(&Part::Body) {
        issues.push(Issue {
            pointer: "/signed".to_owned(),
            detail: "must have {body} in it: what is not signed is not believed".to_owned(),
        });
    }
    let timestamp = match timestamp {
        Some(value) => Some(time_of(value, issues)?),
        None => None,
    };
    if signed.has(&Part::Timestamp) != timestamp.is_some() {
        let (pointer, detail) = if timestamp.is_some() {
            (
                "/signed",
                "must have {timestamp} in it: a time that is not signed proves nothing",
            )
        } else {
            (
                "/timestamp",
                "is required, because {timestamp} is among what is signed",
            )
        };
        issues.push(Issue {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        });
    }
    let delivery_id = match delivery_id {
        Some(value) => id_of(value, issues)?,
        None => IdFrom::Body,
    };
    Some(Custom {
        signature,
        prefix,
        encoding,
        algorithm: algorithm?,
        secret_encoding: secret_encoding?,
        signed,
        timestamp,
        delivery_id,
        event_type_header,
    })
}

fn signature_of(value: Value, issues: &mut Vec<Issue>) -> Option<(Place, String, Encoding)> {
    let mut object = Object::new("/signature", value, issues);
    let place = object.place();
    let prefix = object.text("prefix").unwrap_or_default();
    let encoding = object.choice(
        "encoding",
        &[
            ("hex", Encoding::Hex),
            ("base64", Encoding::Base64),
            ("base64url", Encoding::Base64Url),
        ],
        None,
    );
    object.finish();
    Some((place?, prefix, encoding?))
}

fn time_of(value: Value, issues: &mut Vec<Issue>) -> Option<SignedTime> {
    let mut object = Object::new("/timestamp", value, issues);
    let place = object.place();
    let unit = object.choice(
        "unit",
        &[("seconds", false), ("milliseconds", true)],
        Some(false),
    );
    let tolerance_seconds = object.take("tolerance_seconds").and_then(|value| {
        let seconds = value.as_u64().filter(|s| (1..=MAX_TOLERANCE).contains(s));
        if seconds.is_none() {
            object.issue(
                "tolerance_seconds",
                "must be a whole number from 1 to 86400",
            );
        }
        seconds
    });
    object.finish();
    Some(SignedTime {
        place: place?,
        millis: unit?,
        tolerance_seconds,
    })
}

/// `"body"`, `{"header": NAME}` or `{"pointer": POINTER}`.
fn id_of(value: Value, issues: &mut Vec<Issue>) -> Option<IdFrom> {
    if value == "body" {
        return Some(IdFrom::Body);
    }
    let mut object = Object::new("/delivery_id", value, issues);
    let header = object.header("header");
    let pointer = object.text("pointer");
    let from = match (header, pointer) {
        (Some(header), None) => Some(IdFrom::Header(header)),
        (None, Some(pointer)) if pointer.starts_with('/') => Some(IdFrom::Pointer(pointer)),
        (None, Some(_)) => {
            object.issue("pointer", "must be a JSON pointer such as /event/id");
            None
        }
        _ => {
            object.issue("", "must be \"body\", or have either header or pointer");
            None
        }
    };
    object.finish();
    from
}

impl<'a> Object<'a> {
    fn new(at: &'static str, value: Value, issues: &'a mut Vec<Issue>) -> Self {
        let values = match value {
            Value::Object(values) => values,
            _ => {
                issues.push(Issue {
                    pointer: at.to_owned(),
                    detail: "must be an object".to_owned(),
                });
                Map::new()
            }
        };
        Self { at, values, issues }
    }

    fn issue(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = if name.is_empty() {
            self.at.to_owned()
        } else {
            format!("{}/{name}", self.at)
        };
        self.issues.push(Issue {
            pointer,
            detail: detail.into(),
        });
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if !text.is_empty() && text.len() <= MAX_TEXT => Some(text),
            _ => {
                self.issue(name, "must be a string of 1 to 512 bytes");
                None
            }
        }
    }

    /// A header's name, in lowercase.
    fn header(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match http::HeaderName::from_bytes(text.as_bytes()) {
            Ok(header) => Some(header.as_str().to_owned()),
            Err(_) => {
                self.issue(
                    name,
                    "must be the name of a header, such as x-acme-signature",
                );
                None
            }
        }
    }

    fn place(&mut self) -> Option<Place> {
        let known = self.values.contains_key("header");
        let header = self.header("header");
        if !known {
            self.issue("header", "is required");
        }
        let field = self.text("field");
        Some(Place {
            header: header?,
            field,
        })
    }

    fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
        default: Option<T>,
    ) -> Option<T> {
        let Some(value) = self.take(name) else {
            if default.is_none() {
                self.issue(name, format!("is required: {}", names(choices)));
            }
            return default;
        };
        let chosen = choices
            .iter()
            .find(|(choice, _)| value == *choice)
            .map(|(_, chosen)| *chosen);
        if chosen.is_none() {
            self.issue(name, format!("must be one of {}", names(choices)));
        }
        chosen
    }

    fn finish(mut self) {
        for name in std::mem::take(&mut self.values).keys() {
            let name = name.replace('~', "~0").replace('/', "~1");
            self.issue(&name, "is not known here");
        }
    }
}

fn names<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issues(description: Value) -> Vec<String> {
        let issues = Custom::read(description).unwrap_err();
        issues.into_iter().map(|issue| issue.pointer).collect()
    }

    #[test]
    fn the_least_there_can_be() {
        let custom = Custom::read(json!({
            "signature": {"header": "X-Acme-Signature", "encoding": "hex"},
            "algorithm": "hmac-sha256",
        }))
        .unwrap();
        assert_eq!(custom.signature.header, "x-acme-signature");
        assert_eq!(custom.signed, Template::parse("{body}").unwrap());
        assert_eq!(custom.delivery_id, IdFrom::Body);
    }

    #[test]
    fn all_that_is_wrong_is_found_and_pointed_at() {
        assert_eq!(
            issues(json!({
                "signature": {"encoding": "rot13", "x": 1},
                "algorithm": "md5",
                "event_type_header": "a b",
            })),
            [
                "/algorithm",
                "/event_type_header",
                "/signature/header",
                "/signature/encoding",
                "/signature/x"
            ]
        );
        assert_eq!(issues(json!([])), ["", "/algorithm", "/signature"]);
        let with = |more: Value| {
            let mut description = json!({
                "signature": {"header": "x-sig", "encoding": "hex"},
                "algorithm": "hmac-sha256",
            });
            for (name, value) in more.as_object().unwrap() {
                description[name] = value.clone();
            }
            issues(description)
        };
        assert_eq!(
            with(json!({"signed": "{timestamp}"})),
            ["/signed", "/timestamp"]
        );
        assert_eq!(with(json!({"signed": "{nothing}"})), ["/signed"]);
        let time = json!({"header": "x-time", "unit": "hours", "tolerance_seconds": 0});
        assert_eq!(
            with(json!({"signed": "{body}", "timestamp": time})),
            ["/timestamp/unit", "/timestamp/tolerance_seconds"]
        );
        assert_eq!(
            with(json!({"timestamp": {"header": "x-time"}})),
            ["/signed"]
        );
        assert_eq!(with(json!({"delivery_id": {}})), ["/delivery_id"]);
        assert_eq!(
            with(json!({"delivery_id": {"pointer": "id"}})),
            ["/delivery_id/pointer"]
        );
        assert_eq!(with(json!({"algorithm": "ed25519"})), ["/secret_encoding"]);
    }
}
