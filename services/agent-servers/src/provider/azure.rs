//! Azure OpenAI, chat completions of a deployment, with a JSON schema for the answer.

use platform_config::Secret;
use platform_http::reqwest;
use platform_resilience::Circuit;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::post_json;
use super::{Completion, ProviderError, Task, parsed, prompt};

pub(crate) struct Azure {
    pub(super) http: reqwest::Client,
    pub(super) circuit: Circuit,
    pub(super) url: String,
    pub(super) key: Secret,
    pub(super) deployment: String,
}

#[derive(Deserialize)]
struct ChatCompletion {
    model: String,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

impl Azure {
    pub(super) async fn complete(&self, task: &Task<'_>) -> Result<Completion, ProviderError> {
        let body = json!({
            "messages": [
                {"role": "system", "content": prompt::system(task)},
                {"role": "user", "content": prompt::user(task)},
            ],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": task.name, "strict": true, "schema": task.output},
            },
        });
        let headers = [("api-key", self.key.expose().to_owned())];
        let answer = post_json(&self.http, &self.circuit, &self.url, &headers, &body).await?;
        read(answer)
    }
}

fn read(answer: Value) -> Result<Completion, ProviderError> {
    let completion: ChatCompletion = serde_json::from_value(answer)
        .map_err(|error| ProviderError::Malformed(error.to_string()))?;
    let choice = completion
        .choices
        .into_iter()
        .next()
        .ok_or_else(|| ProviderError::Malformed("there are no choices".to_owned()))?;
    if let Some(refusal) = choice.message.refusal {
        return Err(ProviderError::Refused(refusal));
    }
    match choice.finish_reason.as_deref() {
        Some("length") => return Err(ProviderError::Incomplete("length".to_owned())),
        Some("content_filter") => {
            return Err(ProviderError::Refused("content_filter".to_owned()));
        }
        _ => {}
    }
    let text = choice
        .message
        .content
        .ok_or_else(|| ProviderError::Malformed("the message is empty".to_owned()))?;
    Ok(Completion {
        output: parsed(&text)?,
        model: completion.model,
    })
}

#[cfg(test)]
mod tests;
