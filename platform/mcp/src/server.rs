use std::sync::Arc;

use axum::Router;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::IDEMPOTENCY_KEY;

/// A set of tools served under one name.
pub trait Toolbox: Send + Sync + 'static {
    /// The server's name, such as `chatgpt-customer-support`.
    fn name(&self) -> &str;

    /// What the server is for, told to clients.
    fn instructions(&self) -> &str;

    fn tools(&self) -> Vec<ToolSpec>;

    /// Runs a tool. The future is dropped when the caller hangs up.
    fn call(
        &self,
        call: IncomingCall,
    ) -> impl Future<Output = Result<Map<String, Value>, ToolFailure>> + Send;
}

/// What clients are told about a tool.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// JSON Schema of the arguments, an object.
    pub input_schema: Map<String, Value>,
    /// JSON Schema of the structured answer, an object.
    pub output_schema: Map<String, Value>,
    /// Whether calling it changes nothing.
    pub read_only: bool,
}

#[derive(Debug, Clone)]
pub struct IncomingCall {
    pub tool: String,
    pub arguments: Map<String, Value>,
    /// Calls with the same key are one call.
    pub idempotency_key: Option<String>,
    pub traceparent: Option<String>,
    /// Cancelled when the caller calls it off.
    pub cancel: CancellationToken,
}

/// Why a tool gives no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolFailure {
    UnknownTool,
    /// The arguments do not follow the tool's schema.
    InvalidArguments(String),
    /// The tool ran and failed; the caller is told why.
    Failed(String),
}

#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Values of `Host` that are served; empty means any. Restrict it to loopback
    /// names on loopback, so that a browser cannot be led there.
    pub allowed_hosts: Vec<String>,
    /// Bytes of a request.
    pub max_body_bytes: usize,
    pub shutdown: CancellationToken,
}

/// Serves `toolbox` at `path`: stateless, one answer a request.
pub fn router<T: Toolbox>(path: &str, toolbox: Arc<T>, options: ServerOptions) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(options.max_body_bytes)
        .with_allowed_hosts(options.allowed_hosts)
        .enforce_origin_validation()
        .with_cancellation_token(options.shutdown);
    let service = StreamableHttpService::new(
        move || Ok(Handler(Arc::clone(&toolbox))),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new().route_service(path, service)
}

struct Handler<T>(Arc<T>);

impl<T: Toolbox> ServerHandler for Handler<T> {
    fn get_info(&self) -> ServerConfig {
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        config.server_info =
            Implementation::new(self.0.name().to_owned(), env!("CARGO_PKG_VERSION"));
        config.instructions = Some(self.0.instructions().to_owned());
        config
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.0.tools().into_iter().map(described).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let found = self.0.tools().into_iter().find(|tool| tool.name == name);
        found.map(described)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let traceparent = context.meta.get_traceparent().map(str::to_owned);
        let idempotency_key = context
            .meta
            .get(IDEMPOTENCY_KEY)
            .and_then(Value::as_str)
            .map(str::to_owned);
        let span =
            tracing::info_span!("mcp.tool", mcp.tool = %request.name, mcp.server = self.0.name());
        platform_telemetry::span_with_parent(&span, traceparent.as_deref());
        let call = IncomingCall {
            tool: request.name.into_owned(),
            arguments: request.arguments.unwrap_or_default(),
            idempotency_key,
            traceparent,
            cancel: context.ct.clone(),
        };
        let result = match self.0.call(call).instrument(span).await {
            Ok(output) => CallToolResult::structured(Value::Object(output)),
            Err(ToolFailure::Failed(reason)) => {
                CallToolResult::error(vec![ContentBlock::text(reason)])
            }
            Err(ToolFailure::UnknownTool) => {
                return Err(ErrorData::invalid_params("unknown tool", None));
            }
            Err(ToolFailure::InvalidArguments(reason)) => {
                return Err(ErrorData::invalid_params(reason, None));
            }
        };
        Ok(result.into())
    }
}

fn described(spec: ToolSpec) -> Tool {
    let input: JsonObject = spec.input_schema;
    let annotations = ToolAnnotations::new()
        .read_only(spec.read_only)
        .destructive(false)
        .idempotent(true)
        .open_world(false);
    Tool::new_with_raw(spec.name, Some(spec.description.into()), Arc::new(input))
        .with_title(spec.title)
        .with_raw_output_schema(Arc::new(spec.output_schema))
        .with_annotations(annotations)
}
