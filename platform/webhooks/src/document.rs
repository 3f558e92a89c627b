//! What a body says, as JSON. The bytes are kept as they came; whoever reads
//! them later, the gateway for policy or federation for its contexts, reads them
//! by this one rule.

use serde_json::{Map, Value};

use crate::Scheme;

const FORM: &str = "application/x-www-form-urlencoded";
/// Fields in one form; their size is bounded by that of the body.
const MAX_FIELDS: usize = 256;

/// A body that is not the form it is declared to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoForm {
    #[error("a form must be percent-encoded UTF-8")]
    Encoding,
    #[error("a field appears twice")]
    Repeated,
    #[error("there are too many fields")]
    TooMany,
}

/// Whether a content type is that of an HTML form.
pub fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(FORM)
}

/// Whether a content type is JSON in UTF-8.
pub fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

/// What a body says, read by `parse` where JSON is due. A form becomes an object
/// of its fields, the `payload` in which Slack wraps JSON opened up; so does the
/// payload of a Zapier envelope that is text.
///
/// # Errors
/// Those of `parse`, and what is wrong with a form, in words.
pub fn document<E: ToString>(
    scheme: &str,
    content_type: &str,
    body: &[u8],
    parse: impl Fn(&[u8]) -> Result<Value, E>,
) -> Result<Value, String> {
    let mut said = if is_form(content_type) {
        Value::Object(fields(body).map_err(|error| error.to_string())?)
    } else {
        parse(body).map_err(|error| error.to_string())?
    };
    if (is_form(content_type) || scheme == Scheme::Zapier.as_str())
        && let Some(Value::String(text)) = said.get("payload")
        && let Ok(opened @ (Value::Object(_) | Value::Array(_))) = parse(text.as_bytes())
    {
        said["payload"] = opened;
    }
    Ok(said)
}

fn fields(body: &[u8]) -> Result<Map<String, Value>, NoForm> {
    let mut fields = Map::new();
    for field in body.split(|byte| *byte == b'&').filter(|f| !f.is_empty()) {
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default())?;
        let value = decoded(halves.next().unwrap_or_default())?;
        if fields.len() == MAX_FIELDS {
            return Err(NoForm::TooMany);
        }
        if fields.insert(name, Value::String(value)).is_some() {
            return Err(NoForm::Repeated);
        }
    }
    Ok(fields)
}

fn decoded(text: &[u8]) -> Result<String, NoForm> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.copied().unwrap_or(0));
                let mut escaped = [0];
                hex::decode_to_slice(digits, &mut escaped).map_err(|_| NoForm::Encoding)?;
                escaped[0]
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| NoForm::Encoding)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(scheme: &str, content_type: &str, body: &str) -> Result<Value, String> {
        document(scheme, content_type, body.as_bytes(), |bytes| {
            serde_json::from_slice(bytes)
        })
    }

    #[test]
    fn a_form_is_an_object_of_its_fields() {
        assert_eq!(
            read("slack", FORM, "command=%2Fmesh&text=a+b%2Bc&empty=&flag"),
            Ok(json!({"command": "/mesh", "text": "a b+c", "empty": "", "flag": ""}))
        );
        assert_eq!(
            read(
                "slack",
                FORM,
                "payload=%7B%22type%22%3A%22block_actions%22%7D"
            ),
            Ok(json!({"payload": {"type": "block_actions"}}))
        );
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=1&a=2"] {
            assert!(read("slack", FORM, bad).is_err(), "{bad}");
        }
        assert!(read("slack", FORM, &"a&".repeat(2)).is_err());
    }

    #[test]
    fn only_a_zapier_payload_is_opened_up_in_json() {
        let body = r#"{"payload":"{\"n\":1}"}"#;
        let json = "application/json";
        assert_eq!(read("zapier", json, body), Ok(json!({"payload": {"n": 1}})));
        assert_eq!(
            read("standard-webhooks", json, body),
            Ok(json!({"payload": "{\"n\":1}"}))
        );
        assert_eq!(
            read("zapier", json, r#"{"payload":"text"}"#),
            Ok(json!({"payload": "text"}))
        );
    }
}
