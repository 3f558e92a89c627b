use std::collections::BTreeSet;

use domain_registry::{Agent, Resource};
use serde_json::{Value, json};

use super::check;
use super::fields::Fields;

const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const LONGEST_TIMEOUT_MS: u64 = 3_600_000;
const LONGEST_TOOL: usize = 128;

pub(super) fn read(fields: &mut Fields<'_>) -> Resource {
    let name = fields.text("name");
    let endpoint = check::address(fields, "endpoint");
    let tools = fields.texts("tools");
    if tools.is_empty() {
        fields.issue("tools", "must name at least one tool that may be called");
    }
    let mut seen = BTreeSet::new();
    for (index, tool) in tools.iter().enumerate() {
        if tool.len() > LONGEST_TOOL || tool.chars().any(|c| c.is_control() || c.is_whitespace()) {
            fields.issue(&format!("tools/{index}"), "is not the name of a tool");
        }
        if !seen.insert(tool) {
            fields.issue(&format!("tools/{index}"), "is named twice");
        }
    }
    let timeout_ms = fields.number("timeout_ms", DEFAULT_TIMEOUT_MS, 100..=LONGEST_TIMEOUT_MS);
    Resource::Agent(Agent {
        name,
        endpoint,
        tools,
        timeout_ms,
    })
}

pub(super) fn show(agent: &Agent) -> Value {
    json!({
        "name": agent.name,
        "endpoint": agent.endpoint,
        "tools": agent.tools,
        "timeout_ms": agent.timeout_ms,
    })
}
