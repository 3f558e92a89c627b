//! The models behind the agents, over their providers' public HTTP APIs.

mod anthropic;
mod azure;
mod http;
mod openai;
mod prompt;
#[cfg(test)]
mod testing;

use platform_config as config;
use platform_http::{ClientOptions, reqwest};
use platform_resilience::{BreakerSettings, Circuit};
use serde_json::{Map, Value};

use crate::Error;
use anthropic::Anthropic;
use azure::Azure;
use openai::OpenAi;

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    /// The tool's name; names the schema too.
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    /// What to do, from us.
    pub(crate) instructions: &'a str,
    /// What to do it with, from outside: never to be obeyed.
    pub(crate) data: &'a Map<String, Value>,
    /// JSON Schema of the answer.
    pub(crate) output: &'a Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    pub(crate) output: Map<String, Value>,
    /// The model that answered, as the provider names it.
    pub(crate) model: String,
}

/// Why a provider gave no answer. Displayed to the caller of the tool, so it
/// quotes no keys and no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("the provider cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the provider answered {status}: {message}")]
    Status { status: u16, message: String },
    #[error("the provider's answer cannot be read: {0}")]
    Malformed(String),
    #[error("the model refused: {0}")]
    Refused(String),
    #[error("the answer was cut off: {0}")]
    Incomplete(String),
    #[error("the provider has failed too often and is left alone for a while")]
    CircuitOpen,
}

pub(crate) enum Provider {
    OpenAi(OpenAi),
    Anthropic(Anthropic),
    Azure(Azure),
}

impl Provider {
    pub(crate) fn openai(http: &reqwest::Client, settings: &config::OpenAi) -> Option<Self> {
        let key = settings.api_key.clone()?;
        Some(Self::OpenAi(OpenAi {
            http: http.clone(),
            circuit: circuit("openai"),
            url: format!("{}/responses", settings.base_url.trim_end_matches('/')),
            key,
            model: settings.model.clone(),
        }))
    }

    pub(crate) fn anthropic(http: &reqwest::Client, settings: &config::Anthropic) -> Option<Self> {
        let key = settings.api_key.clone()?;
        Some(Self::Anthropic(Anthropic {
            http: http.clone(),
            circuit: circuit("anthropic"),
            url: format!("{}/v1/messages", settings.base_url.trim_end_matches('/')),
            key,
            model: settings.model.clone(),
        }))
    }

    pub(crate) fn azure(
        http: &reqwest::Client,
        settings: &config::AzureOpenAi,
    ) -> Result<Option<Self>, Error> {
        let Some(key) = settings.api_key.clone() else {
            return Ok(None);
        };
        let missing = |key| Error::MissingSetting {
            key,
            because: "agent_servers.azure_openai.api_key",
        };
        let endpoint = settings
            .endpoint
            .as_deref()
            .ok_or_else(|| missing("agent_servers.azure_openai.endpoint"))?;
        let deployment = settings
            .deployment
            .as_deref()
            .ok_or_else(|| missing("agent_servers.azure_openai.deployment"))?;
        Ok(Some(Self::Azure(Azure {
            http: http.clone(),
            circuit: circuit("azure-openai"),
            url: format!(
                "{}/openai/deployments/{deployment}/chat/completions?api-version={}",
                endpoint.trim_end_matches('/'),
                settings.api_version
            ),
            key,
            deployment: deployment.to_owned(),
        })))
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "openai",
            Self::Anthropic(_) => "anthropic",
            Self::Azure(_) => "azure-openai",
        }
    }

    pub(crate) fn model(&self) -> &str {
        match self {
            Self::OpenAi(provider) => &provider.model,
            Self::Anthropic(provider) => &provider.model,
            Self::Azure(provider) => &provider.deployment,
        }
    }

    /// Asks the model, again when the provider is busy or unwell.
    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, ProviderError> {
        match self {
            Self::OpenAi(provider) => provider.complete(task).await,
            Self::Anthropic(provider) => provider.complete(task).await,
            Self::Azure(provider) => provider.complete(task).await,
        }
    }
}

fn circuit(name: &str) -> Circuit {
    Circuit::new(name, BreakerSettings::default())
}

/// The client for all providers.
pub(crate) fn http_client() -> Result<reqwest::Client, Error> {
    platform_http::client(ClientOptions::with_timeout(http::CALL_TIMEOUT)).map_err(Error::Http)
}

/// The members of a model's answer given as text.
fn parsed(text: &str) -> Result<Map<String, Value>, ProviderError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ProviderError::Malformed(
            "the model's text is not a JSON object".to_owned(),
        )),
        Err(error) => Err(ProviderError::Malformed(format!(
            "the model's text is not JSON: {error}"
        ))),
    }
}
