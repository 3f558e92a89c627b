//! What the three agents have in common: tools, a provider or the rules, and
//! the answers already given.

use platform_mcp::{IncomingCall, ToolFailure, ToolSpec, Toolbox};
use serde_json::{Map, Value};
use tracing::{info, warn};

use crate::answers::Answers;
use crate::offline;
use crate::provider::{Provider, Task};
use crate::schema::{object, violation};

/// Answers kept by one agent. At a few kilobytes each, some tens of megabytes.
const ANSWERS_KEPT: usize = 8_192;

pub(crate) struct Agent {
    /// As it is registered: `chatgpt-customer-support`.
    pub(crate) id: &'static str,
    pub(crate) instructions: &'static str,
    pub(crate) tools: Vec<Tool>,
    pub(crate) provider: Option<Provider>,
    pub(crate) answers: Answers,
}

pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) input: Map<String, Value>,
    /// Without `model`, which every answer has.
    pub(crate) output: Map<String, Value>,
    pub(crate) read_only: bool,
    /// Answers by fixed rules.
    pub(crate) offline: fn(&Map<String, Value>) -> Value,
    /// What a model is told to do; none for tools that need no model.
    pub(crate) prompt: Option<&'static str>,
}

impl Agent {
    pub(crate) fn new(
        id: &'static str,
        instructions: &'static str,
        tools: Vec<Tool>,
        provider: Option<Provider>,
    ) -> Self {
        Self {
            id,
            instructions,
            tools,
            provider,
            answers: Answers::new(ANSWERS_KEPT),
        }
    }

    pub(crate) fn model(&self) -> String {
        match &self.provider {
            Some(provider) => provider.model().to_owned(),
            None => offline::MODEL.to_owned(),
        }
    }

    async fn answer(
        &self,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Result<Map<String, Value>, ToolFailure> {
        let (Some(provider), Some(instructions)) = (&self.provider, tool.prompt) else {
            let mut output = object((tool.offline)(arguments));
            output.insert("model".to_owned(), offline::MODEL.into());
            return Ok(output);
        };
        let task = Task {
            name: tool.name,
            description: tool.description,
            instructions,
            data: arguments,
            output: &tool.output,
        };
        let completion = provider.complete(&task).await.map_err(|error| {
            warn!(agent.id = self.id, mcp.tool = tool.name, error = %error, "provider failed");
            ToolFailure::Failed(format!("{}: {error}", provider.name()))
        })?;
        // Providers promise to follow the schema; what they send is still outside data.
        let answer = Value::Object(completion.output);
        if let Some(reason) = violation(&tool.output, &answer) {
            return Err(ToolFailure::Failed(format!(
                "{}: the answer does not follow the schema: {reason}",
                provider.name()
            )));
        }
        let mut output = object(answer);
        output.insert("model".to_owned(), completion.model.into());
        Ok(output)
    }
}

impl Tool {
    fn spec(&self) -> ToolSpec {
        let mut output_schema = self.output.clone();
        if let Some(Value::Object(properties)) = output_schema.get_mut("properties") {
            properties.insert("model".to_owned(), serde_json::json!({"type": "string"}));
        }
        if let Some(Value::Array(required)) = output_schema.get_mut("required") {
            required.push("model".into());
        }
        ToolSpec {
            name: self.name,
            title: self.title,
            description: self.description,
            input_schema: self.input.clone(),
            output_schema,
            read_only: self.read_only,
        }
    }
}

impl Toolbox for Agent {
    fn name(&self) -> &str {
        self.id
    }

    fn instructions(&self) -> &str {
        self.instructions
    }

    fn tools(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(Tool::spec).collect()
    }

    async fn call(&self, call: IncomingCall) -> Result<Map<String, Value>, ToolFailure> {
        let tool = self
            .tools
            .iter()
            .find(|tool| tool.name == call.tool)
            .ok_or(ToolFailure::UnknownTool)?;
        let arguments = Value::Object(call.arguments);
        if let Some(reason) = violation(&tool.input, &arguments) {
            return Err(ToolFailure::InvalidArguments(reason));
        }
        let arguments = object(arguments);
        let ask = self.answer(tool, &arguments);
        let output = match call.idempotency_key {
            Some(key) => {
                let key = format!("{}/{key}", tool.name);
                self.answers.get_or_ask(&key, ask).await?
            }
            None => ask.await?,
        };
        info!(agent.id = self.id, mcp.tool = tool.name, "tool answered");
        Ok(output)
    }
}
