use domain_kernel::Json;
use domain_registry::{Policy, Resource};
use serde_json::{Map, Value, json};

use super::fields::{Fields, kind_of};

/// A policy given as plain Rego text is one module of this name.
const ONLY_MODULE: &str = "policy.rego";

pub(super) fn read(fields: &mut Fields<'_>) -> Resource {
    let mut modules = Vec::new();
    for (name, text) in fields.members("modules") {
        let place = format!("modules/{}", name.replace('~', "~0").replace('/', "~1"));
        if !name.ends_with(".rego") || name.len() > 128 || name.chars().any(char::is_control) {
            fields.issue(&place, "must be named like a file, such as ingest.rego");
        }
        match text {
            Value::String(text) => modules.push((name, text)),
            other => fields.issue(
                &place,
                format!("must be Rego text, not {}", kind_of(&other)),
            ),
        }
    }
    if modules.is_empty() {
        fields.issue("modules", "must have at least one module");
    }
    let data = match fields.take("data") {
        None => Value::Object(Map::new()),
        Some(data @ Value::Object(_)) => data,
        Some(other) => {
            fields.issue(
                "data",
                format!("must be an object, not {}", kind_of(&other)),
            );
            Value::Object(Map::new())
        }
    };
    Resource::Policy(Policy {
        modules,
        data: Json::from_text(canonical(data).to_string()),
    })
}

/// The form of a policy given as plain Rego text.
pub(super) fn of_text(text: String) -> Value {
    json!({"modules": {ONLY_MODULE: text}})
}

/// Objects ordered by key, so that the same data is the same text.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            members
                .into_iter()
                .map(|(name, value)| (name, canonical(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        scalar => scalar,
    }
}

pub(super) fn show(policy: &Policy) -> Value {
    let modules: Map<String, Value> = policy
        .modules
        .iter()
        .map(|(name, text)| (name.clone(), Value::from(text.as_str())))
        .collect();
    let data: Value = serde_json::from_str(policy.data.as_str()).unwrap_or_default();
    json!({"modules": modules, "data": data})
}
