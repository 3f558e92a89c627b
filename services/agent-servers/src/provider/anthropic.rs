//! Anthropic, Messages API: `POST /v1/messages`, the answer taken from the one
//! tool the model must use.

use platform_config::Secret;
use platform_http::reqwest;
use platform_resilience::Circuit;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::post_json;
use super::{Completion, ProviderError, Task, prompt};

/// Tokens of an answer; ours are short.
const MAX_TOKENS: u32 = 2_048;

const VERSION: &str = "2023-06-01";

pub(crate) struct Anthropic {
    pub(super) http: reqwest::Client,
    pub(super) circuit: Circuit,
    pub(super) url: String,
    pub(super) key: Secret,
    pub(super) model: String,
}

#[derive(Deserialize)]
struct Message {
    model: String,
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    ToolUse {
        name: String,
        input: Map<String, Value>,
    },
    /// Text, thinking and whatever comes later.
    #[serde(other)]
    Other,
}

impl Anthropic {
    pub(super) async fn complete(&self, task: &Task<'_>) -> Result<Completion, ProviderError> {
        let body = json!({
            "model": self.model,
            "max_tokens": MAX_TOKENS,
            "system": prompt::system(task),
            "messages": [{"role": "user", "content": prompt::user(task)}],
            "tools": [{
                "name": task.name,
                "description": task.description,
                "input_schema": task.output,
            }],
            "tool_choice": {"type": "tool", "name": task.name},
        });
        let headers = [
            ("x-api-key", self.key.expose().to_owned()),
            ("anthropic-version", VERSION.to_owned()),
        ];
        let answer = post_json(&self.http, &self.circuit, &self.url, &headers, &body).await?;
        read(answer, task.name)
    }
}

fn read(answer: Value, tool: &str) -> Result<Completion, ProviderError> {
    let message: Message = serde_json::from_value(answer)
        .map_err(|error| ProviderError::Malformed(error.to_string()))?;
    match message.stop_reason.as_deref() {
        Some("max_tokens" | "model_context_window_exceeded") => {
            return Err(ProviderError::Incomplete("max_tokens".to_owned()));
        }
        Some("refusal") => {
            return Err(ProviderError::Refused("no reason given".to_owned()));
        }
        _ => {}
    }
    message
        .content
        .into_iter()
        .find_map(|block| match block {
            Block::ToolUse { name, input } if name == tool => Some(input),
            _ => None,
        })
        .map(|output| Completion {
            output,
            model: message.model,
        })
        .ok_or_else(|| ProviderError::Malformed("the model did not use the tool".to_owned()))
}

#[cfg(test)]
mod tests;
