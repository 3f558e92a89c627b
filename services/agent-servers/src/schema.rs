//! The part of JSON Schema the tools use: type, properties, required,
//! additionalProperties, items and enum.

use serde_json::{Map, Value, json};

/// Why `value` does not follow `schema`, or nothing when it does.
pub(crate) fn violation(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    check(schema, value, "$")
}

fn check(schema: &Map<String, Value>, value: &Value, at: &str) -> Option<String> {
    if let Some(kind) = schema.get("type")
        && !is_of_type(kind, value)
    {
        return Some(format!("{at} is not of type {kind}"));
    }
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(value)
    {
        return Some(format!("{at} is not one of {}", json!(allowed)));
    }
    match value {
        Value::Object(members) => check_members(schema, members, at),
        Value::Array(items) => {
            let schema = schema.get("items")?.as_object()?;
            items
                .iter()
                .enumerate()
                .find_map(|(index, item)| check(schema, item, &format!("{at}[{index}]")))
        }
        _ => None,
    }
}

fn check_members(
    schema: &Map<String, Value>,
    members: &Map<String, Value>,
    at: &str,
) -> Option<String> {
    let required = schema.get("required").and_then(Value::as_array);
    let missing = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|name| !members.contains_key(*name));
    if let Some(name) = missing {
        return Some(format!("{at}.{name} is missing"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    members.iter().find_map(|(name, member)| {
        let known = properties.and_then(|properties| properties.get(name));
        match known.and_then(Value::as_object) {
            Some(schema) => check(schema, member, &format!("{at}.{name}")),
            None if closed => Some(format!("{at}.{name} is not known")),
            None => None,
        }
    })
}

fn is_of_type(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of_type(kind, value)),
        Value::String(kind) => match kind.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "null" => value.is_null(),
            _ => false,
        },
        _ => false,
    }
}

/// An object schema with exactly these properties, all required: what the
/// providers' strict modes ask for.
pub(crate) fn exactly(properties: &Value) -> Map<String, Value> {
    let names: Vec<&String> = properties
        .as_object()
        .map(|properties| properties.keys().collect())
        .unwrap_or_default();
    object(json!({
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false,
    }))
}

/// An object schema with these properties, some of them required, open to more.
pub(crate) fn open(properties: &Value, required: &[&str]) -> Map<String, Value> {
    object(json!({
        "type": "object",
        "properties": properties,
        "required": required,
    }))
}

/// The members of a value known to be an object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_a_value_goes_astray() {
        let schema = exactly(&json!({
            "priority": {"type": "string", "enum": ["low", "high"]},
            "amounts": {"type": "array", "items": exactly(&json!({"value": {"type": "number"}}))},
            "order": {"type": ["string", "null"]},
        }));
        let good = json!({"priority": "low", "amounts": [{"value": 1.5}], "order": null});
        assert_eq!(violation(&schema, &good), None);
        for (bad, message) in [
            (json!([]), r#"$ is not of type "object""#),
            (
                json!({"amounts": [], "order": null}),
                "$.priority is missing",
            ),
            (
                json!({"priority": "mid", "amounts": [], "order": null}),
                r#"$.priority is not one of ["low","high"]"#,
            ),
            (
                json!({"priority": "low", "amounts": [{"value": "1"}], "order": null}),
                r#"$.amounts[0].value is not of type "number""#,
            ),
            (
                json!({"priority": "low", "amounts": [], "order": null, "x": 1}),
                "$.x is not known",
            ),
        ] {
            assert_eq!(violation(&schema, &bad).as_deref(), Some(message));
        }
    }
}
