use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform_http::{ClientOptions, Outbound, reqwest};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, RequestMetaObject,
};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::session::{Session, connect, not_called, short};
use crate::{Error, IDEMPOTENCY_KEY};

/// No call takes longer, whatever its deadline says.
const LONGEST_CALL: Duration = Duration::from_secs(15 * 60);

/// Calls tools of agent servers. One connection is kept for each endpoint and
/// shared by all calls to it; cheap to clone.
#[derive(Debug, Clone)]
pub struct McpClient {
    http: reqwest::Client,
    /// Where agents may be.
    outbound: Outbound,
    sessions: Arc<Mutex<HashMap<String, Arc<Session>>>>,
}

/// One call of one tool.
#[derive(Debug, Clone)]
pub struct ToolCall<'a> {
    /// Streamable HTTP endpoint of the agent server.
    pub endpoint: &'a str,
    pub tool: &'a str,
    pub arguments: Map<String, Value>,
    /// Sent in `_meta` under [`IDEMPOTENCY_KEY`].
    pub idempotency_key: &'a str,
    /// Sent in `_meta` as `traceparent`.
    pub traceparent: Option<&'a str>,
    pub deadline: Instant,
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolAnswer {
    /// The structured content, a JSON object.
    pub output: Map<String, Value>,
}

impl McpClient {
    /// # Errors
    /// When the platform's certificates cannot be loaded.
    pub fn new(outbound: Outbound) -> Result<Self, Error> {
        let http = platform_http::client(ClientOptions {
            outbound: Some(outbound.clone()),
            ..ClientOptions::with_timeout(LONGEST_CALL)
        })
        .map_err(Error::Http)?;
        Ok(Self {
            http,
            outbound,
            sessions: Arc::default(),
        })
    }

    /// Calls the tool and waits for its answer, the deadline or `cancel`,
    /// whichever is first. Giving up closes the call, so that the server can
    /// stop working on it.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_transient`] tells what may be repeated.
    pub async fn call_tool(
        &self,
        call: ToolCall<'_>,
        cancel: &CancellationToken,
    ) -> Result<ToolAnswer, Error> {
        let deadline = call.deadline;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            () = tokio::time::sleep_until(deadline) => Err(Error::Deadline),
            answer = self.call(call) => answer,
        }
    }

    /// Names are judged when they are looked up; an address is never looked up.
    fn permitted(&self, endpoint: &str) -> Result<(), Error> {
        let refused = |reason: String| Error::Protocol { reason };
        let url = reqwest::Url::parse(endpoint).map_err(|error| refused(error.to_string()))?;
        self.outbound
            .check(&url)
            .map_err(|error| refused(error.to_string()))
    }

    async fn call(&self, call: ToolCall<'_>) -> Result<ToolAnswer, Error> {
        let mut meta = RequestMetaObject::new();
        meta.insert(IDEMPOTENCY_KEY.to_owned(), call.idempotency_key.into());
        if let Some(traceparent) = call.traceparent {
            meta.set_traceparent(traceparent);
        }
        let mut params =
            CallToolRequestParams::new(call.tool.to_owned()).with_arguments(call.arguments);
        params.meta = Some(meta);

        self.permitted(call.endpoint)?;
        let session = self.session(call.endpoint).await?;
        let response = match session.call_tool_once(params).await {
            Ok(response) => response,
            Err(error) => {
                let error = not_called(&error);
                if error.is_transient() {
                    self.forget(call.endpoint, &session);
                }
                return Err(error);
            }
        };
        match response {
            CallToolResponse::Complete(result) => answer(result),
            _ => Err(Error::Protocol {
                reason: "the tool asks for more input or runs as a task".to_owned(),
            }),
        }
    }

    async fn session(&self, endpoint: &str) -> Result<Arc<Session>, Error> {
        let known = self.lock().get(endpoint).cloned();
        if let Some(session) = known.filter(|session| !session.is_closed()) {
            return Ok(session);
        }
        // Two callers may connect at once; the later connection is kept and the
        // other one closes with the call that made it.
        let session = Arc::new(connect(self.http.clone(), endpoint).await?);
        debug!(server.endpoint = endpoint, "connected to agent server");
        self.lock()
            .insert(endpoint.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// A connection that failed once is not used again.
    fn forget(&self, endpoint: &str, session: &Arc<Session>) {
        let mut sessions = self.lock();
        if sessions
            .get(endpoint)
            .is_some_and(|known| Arc::ptr_eq(known, session))
        {
            sessions.remove(endpoint);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Servers of older revisions may give the structured answer as text only.
fn answer(result: CallToolResult) -> Result<ToolAnswer, Error> {
    let text = || {
        result
            .content
            .iter()
            .filter_map(ContentBlock::as_text)
            .map(|block| block.text.as_str())
            .next()
    };
    if result.is_error == Some(true) {
        return Err(Error::Tool {
            message: short(text().unwrap_or("no message")),
        });
    }
    let parsed = || text().and_then(|text| serde_json::from_str(text).ok());
    match result.structured_content.clone().or_else(parsed) {
        Some(Value::Object(output)) => Ok(ToolAnswer { output }),
        _ => Err(Error::NoStructuredContent),
    }
}
