//! Property values and records as HubSpot writes them.

use std::fmt::Write as _;

use domain_effect::EffectRequested;
use serde_json::{Map, Value};

use crate::connector::{CallError, Written};

/// The properties to write. HubSpot keeps text, so everything is sent as text.
pub(super) fn properties_of(effect: &EffectRequested) -> Result<Map<String, Value>, CallError> {
    let refused = |reason: String| CallError::Refused {
        code: "rejected",
        reason,
    };
    let value: Value = serde_json::from_str(effect.properties.as_str())
        .map_err(|error| refused(format!("the properties are not JSON: {error}")))?;
    let properties = match value {
        Value::Object(properties) => properties,
        Value::Null => Map::new(),
        _ => return Err(refused("the properties are not an object".to_owned())),
    };
    properties
        .into_iter()
        .map(|(name, value)| match value {
            Value::Null | Value::String(_) => Ok((name, value)),
            Value::Bool(_) | Value::Number(_) => Ok((name, Value::String(value.to_string()))),
            Value::Array(_) | Value::Object(_) => Err(refused(format!(
                "property {name} is neither text nor a number nor a boolean"
            ))),
        })
        .collect()
}

/// Refuses what no path can address: an empty segment or one of dots, which URL
/// parsers remove, would make it the path of something else.
pub(super) fn check_address(effect: &EffectRequested) -> Result<(), CallError> {
    for (what, text) in [
        ("object", &effect.object),
        ("id property", &effect.id_property),
        ("external id", &effect.external_id),
    ] {
        if ["", ".", ".."].contains(&text.as_str()) {
            return Err(CallError::Refused {
                code: "rejected",
                reason: format!("no record can be addressed by the {what} \"{text}\""),
            });
        }
    }
    Ok(())
}

/// Whether the record holds every one of `properties`. HubSpot shows a cleared
/// property as null or as empty text.
pub(super) fn same_properties(record: &Value, properties: &Map<String, Value>) -> bool {
    properties.iter().all(|(name, wanted)| {
        let held = record["properties"][name].as_str().unwrap_or_default();
        held == wanted.as_str().unwrap_or_default()
    })
}

/// Id and version of a record in an answer.
pub(super) fn written(record: &Value) -> Result<Written, CallError> {
    match (record["id"].as_str(), record["updatedAt"].as_str()) {
        (Some(id), Some(updated_at)) => Ok(Written {
            remote_id: id.to_owned(),
            remote_version: updated_at.to_owned(),
        }),
        // A success that names no record leaves open what was done.
        _ => Err(CallError::InDoubt {
            reason: "the answer names no record".to_owned(),
        }),
    }
}

/// Path of the records of an object, or of one of them by HubSpot's own id.
pub(super) fn objects_path(object: &str, id: Option<&str>) -> String {
    let mut path = format!("/crm/v3/objects/{}", encoded(object));
    if let Some(id) = id {
        path.push('/');
        path.push_str(&encoded(id));
    }
    path
}

/// Path and query of the effect's record, asking for the properties `names`.
pub(super) fn path(effect: &EffectRequested, names: &[&str]) -> String {
    let mut path = format!(
        "{}?idProperty={}",
        objects_path(&effect.object, Some(&effect.external_id)),
        encoded(&effect.id_property)
    );
    if !names.is_empty() {
        path.push_str("&properties=");
        path.push_str(&encoded(&names.join(",")));
    }
    path
}

/// Percent-encodes what may not stand in a path segment or query value (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
