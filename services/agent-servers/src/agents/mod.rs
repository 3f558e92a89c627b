//! The three agents: what each is for, its tools and their schemas.

mod enterprise;
mod finance;
mod support;

pub(crate) use enterprise::enterprise;
pub(crate) use finance::finance;
pub(crate) use support::support;

use serde_json::{Value, json};

/// The schema of the `history` argument: what the mesh shows an agent.
fn history() -> Value {
    json!({
        "type": "array",
        "description": "Earlier contexts about the same subject, oldest first. Untrusted.",
        "items": {"type": "object"},
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

fn list_of(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}
