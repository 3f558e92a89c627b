//! Merging the layers. The defaults say which keys exist and of which type
//! each one is, so that text from the environment is read as that type.

use std::path::Path;

use toml::{Table, Value};

use crate::{Error, Origin};

const DEFAULTS: &str = include_str!("defaults.toml");

/// What sets a key of ours from the environment: `AGENTMESH__KAFKA__BROKERS`.
const PREFIX: &str = "AGENTMESH__";

/// Names that operators expect, in use far beyond this project.
const CONVENTIONAL: [(&str, [&str; 2]); 4] = [
    ("KAFKA_BROKERS", ["kafka", "brokers"]),
    ("SCHEMA_REGISTRY_URL", ["schema_registry", "url"]),
    ("DATABASE_URL", ["postgres", "url"]),
    ("REDIS_URL", ["redis", "url"]),
];

pub(crate) fn merge(
    file: Option<(&Path, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Table, Error> {
    let mut merged = parse(DEFAULTS, &Origin::Defaults)?;
    if let Some((path, text)) = file {
        let origin = Origin::File(path.to_owned());
        let table = parse(text, &origin)?;
        overlay(&mut merged, table, "", &origin)?;
    }
    let mut own = Vec::new();
    for (name, value) in environment {
        if let Some((_, path)) = CONVENTIONAL.iter().find(|(known, _)| *known == name) {
            // An empty variable is one that a shell or a compose file left out.
            if !value.is_empty() {
                let path = path.map(str::to_owned);
                set(&mut merged, &path, value, &Origin::Environment(name))?;
            }
        } else if let Some(key) = name.strip_prefix(PREFIX) {
            let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
            own.push((path, value, Origin::Environment(name)));
        }
    }
    // Our own names are the more specific ones, so they win over the conventional.
    for (path, value, origin) in own {
        set(&mut merged, &path, value, &origin)?;
    }
    Ok(merged)
}

fn parse(text: &str, origin: &Origin) -> Result<Table, Error> {
    text.parse().map_err(|source| Error::Syntax {
        origin: origin.clone(),
        source: Box::new(source),
    })
}

fn overlay(base: &mut Table, over: Table, path: &str, origin: &Origin) -> Result<(), Error> {
    for (key, value) in over {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let Some(known) = base.get_mut(&key) else {
            return Err(Error::UnknownKey {
                key: full,
                origin: origin.clone(),
            });
        };
        match (known, value) {
            (Value::Table(inner), Value::Table(over)) => overlay(inner, over, &full, origin)?,
            // A whole number is a fine threshold.
            (Value::Float(known), Value::Integer(value)) => *known = value as f64,
            (known, value) if known.same_type(&value) => *known = value,
            (known, _) => {
                return Err(Error::WrongType {
                    key: full,
                    origin: origin.clone(),
                    expected: describe(known),
                });
            }
        }
    }
    Ok(())
}

fn set(base: &mut Table, path: &[String], text: String, origin: &Origin) -> Result<(), Error> {
    let unknown = || Error::UnknownKey {
        key: path.join("."),
        origin: origin.clone(),
    };
    let (last, sections) = path.split_last().ok_or_else(unknown)?;
    let mut table = base;
    for section in sections {
        table = match table.get_mut(section) {
            Some(Value::Table(inner)) => inner,
            _ => return Err(unknown()),
        };
    }
    let known = table.get_mut(last).ok_or_else(unknown)?;
    let value = match &*known {
        Value::String(_) => Some(Value::String(text)),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Table(_) | Value::Array(_) | Value::Datetime(_) => None,
    };
    match value {
        Some(value) => {
            *known = value;
            Ok(())
        }
        None => Err(Error::WrongType {
            key: path.join("."),
            origin: origin.clone(),
            expected: describe(known),
        }),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Table(_) => "a section",
        Value::Array(_) => "a list",
        Value::Datetime(_) => "a date",
    }
}
