//! JSON to CEL values and back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};

use crate::Error;

/// JSON does not tell signed from unsigned, and CEL does not mix them in
/// arithmetic: whatever fits is an `int`, so that `amount + 1` just works.
pub(crate) fn to_cel(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map(Value::Int)
            .or_else(|| number.as_u64().map(Value::UInt))
            .unwrap_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN))),
        serde_json::Value::String(text) => Value::String(Arc::new(text.clone())),
        serde_json::Value::Array(items) => {
            Value::List(Arc::new(items.iter().map(to_cel).collect()))
        }
        serde_json::Value::Object(members) => {
            let map: HashMap<Key, Value> = members
                .iter()
                .map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value)))
                .collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// Members come out sorted by name: a CEL map has no order of its own, and the
/// same value must always be the same text.
pub(crate) fn from_cel(value: &Value) -> Result<serde_json::Value, Error> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::UInt(value) => (*value).into(),
        Value::Float(value) => serde_json::Number::from_f64(*value)
            .map(serde_json::Value::Number)
            .ok_or(Error::NotJson {
                found: "a number that is not finite",
            })?,
        Value::String(text) => text.as_str().into(),
        Value::List(items) => {
            serde_json::Value::Array(items.iter().map(from_cel).collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let sorted: BTreeMap<String, &Value> = map
                .map
                .iter()
                .map(|(key, value)| (key.to_string(), value))
                .collect();
            let mut members = serde_json::Map::new();
            for (name, value) in sorted {
                members.insert(name, from_cel(value)?);
            }
            serde_json::Value::Object(members)
        }
        Value::Bytes(_) | Value::Timestamp(_) | Value::Duration(_) => {
            value.json().map_err(|_| Error::NotJson {
                found: "a duration beyond range",
            })?
        }
        Value::Function(..) => {
            return Err(Error::NotJson {
                found: "a function",
            });
        }
        Value::Opaque(_) | Value::Struct(_) => {
            return Err(Error::NotJson {
                found: "an opaque value",
            });
        }
    })
}

/// The name of a JSON value's type, with its article.
pub(crate) fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}
