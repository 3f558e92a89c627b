//! OpenAI, Responses API: `POST /responses` with a JSON schema for the answer.

use platform_config::Secret;
use platform_http::reqwest;
use platform_resilience::Circuit;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::post_json;
use super::{Completion, ProviderError, Task, parsed, prompt};

pub(crate) struct OpenAi {
    pub(super) http: reqwest::Client,
    pub(super) circuit: Circuit,
    pub(super) url: String,
    pub(super) key: Secret,
    pub(super) model: String,
}

#[derive(Deserialize)]
struct Response {
    status: String,
    model: String,
    #[serde(default)]
    output: Vec<Item>,
    #[serde(default)]
    incomplete_details: Option<IncompleteDetails>,
    #[serde(default)]
    error: Option<Failed>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    reason: String,
}

#[derive(Deserialize)]
struct Failed {
    message: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    Message {
        content: Vec<Part>,
    },
    /// Reasoning and whatever comes later.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    OutputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

impl OpenAi {
    pub(super) async fn complete(&self, task: &Task<'_>) -> Result<Completion, ProviderError> {
        let body = json!({
            "model": self.model,
            "store": false,
            "input": [
                {"role": "developer", "content": prompt::system(task)},
                {"role": "user", "content": prompt::user(task)},
            ],
            "text": {"format": {
                "type": "json_schema",
                "name": task.name,
                "strict": true,
                "schema": task.output,
            }},
        });
        let headers = [("authorization", format!("Bearer {}", self.key.expose()))];
        let answer = post_json(&self.http, &self.circuit, &self.url, &headers, &body).await?;
        read(answer)
    }
}

fn read(answer: Value) -> Result<Completion, ProviderError> {
    let response: Response = serde_json::from_value(answer)
        .map_err(|error| ProviderError::Malformed(error.to_string()))?;
    match response.status.as_str() {
        "completed" => {}
        "incomplete" => {
            let reason = response.incomplete_details.map(|details| details.reason);
            return Err(ProviderError::Incomplete(
                reason.unwrap_or_else(|| "no reason given".to_owned()),
            ));
        }
        other => {
            let message = response.error.map(|error| error.message);
            return Err(ProviderError::Malformed(format!(
                "the response is {other}: {}",
                message.unwrap_or_else(|| "no message".to_owned())
            )));
        }
    }
    let parts = response.output.into_iter().flat_map(|item| match item {
        Item::Message { content } => content,
        Item::Other => Vec::new(),
    });
    let mut text = String::new();
    for part in parts {
        match part {
            Part::OutputText { text: more } => text.push_str(&more),
            Part::Refusal { refusal } => return Err(ProviderError::Refused(refusal)),
            Part::Other => {}
        }
    }
    Ok(Completion {
        output: parsed(&text)?,
        model: response.model,
    })
}

#[cfg(test)]
mod tests;
