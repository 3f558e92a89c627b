//! The names of attributes, and of the metrics that more than one crate knows. A
//! metric that only one crate writes is named where it is written.
//!
//! Attributes follow the OpenTelemetry semantic conventions for HTTP,
//! messaging, GenAI and MCP; what those do not cover starts with `agentmesh.`.
//! Metrics follow the Prometheus rules: base units, a suffix for the unit, and
//! never an id in a label.

/// Attributes of HTTP spans.
pub mod http {
    pub const REQUEST_METHOD: &str = "http.request.method";
    pub const RESPONSE_STATUS_CODE: &str = "http.response.status_code";
    pub const ROUTE: &str = "http.route";
    pub const SERVER_ADDRESS: &str = "server.address";
    pub const SERVER_PORT: &str = "server.port";
    pub const URL_PATH: &str = "url.path";
    pub const ERROR_TYPE: &str = "error.type";
}

/// Attributes of messaging spans.
pub mod messaging {
    pub const SYSTEM: &str = "messaging.system";
    pub const KAFKA: &str = "kafka";
    pub const DESTINATION: &str = "messaging.destination.name";
    pub const PARTITION: &str = "messaging.destination.partition.id";
    pub const CONSUMER_GROUP: &str = "messaging.consumer.group.name";
    pub const OPERATION: &str = "messaging.operation.name";
    pub const OPERATION_TYPE: &str = "messaging.operation.type";
    pub const BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
    pub const MESSAGE_ID: &str = "messaging.message.id";
    pub const OFFSET: &str = "messaging.kafka.offset";
}

/// Attributes of spans around agents and models.
pub mod gen_ai {
    pub const OPERATION: &str = "gen_ai.operation.name";
    pub const PROVIDER: &str = "gen_ai.provider.name";
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    pub const AGENT_ID: &str = "gen_ai.agent.id";
    pub const TOOL_NAME: &str = "gen_ai.tool.name";
    pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
}

/// Attributes of spans around MCP requests.
pub mod mcp {
    pub const METHOD: &str = "mcp.method.name";
    pub const PROTOCOL_VERSION: &str = "mcp.protocol.version";
    pub const SESSION_ID: &str = "mcp.session.id";
    pub const REQUEST_ID: &str = "jsonrpc.request.id";
}

/// Attributes of our own.
pub mod mesh {
    pub const ROLE: &str = "agentmesh.role";
    pub const TENANT: &str = "agentmesh.tenant";
    pub const CORRELATION: &str = "agentmesh.correlation.id";
    pub const EVENT: &str = "agentmesh.event.id";
    pub const EVENT_TYPE: &str = "agentmesh.event.type";
    pub const STREAM: &str = "agentmesh.stream.id";
}

/// Metrics.
pub mod metric {
    /// Gauge, 1; labels `role`, `version`.
    pub const BUILD_INFO: &str = "agentmesh_build_info";
    /// Counter; label `topic`.
    pub const LOG_APPENDED: &str = "agentmesh_log_appended_records_total";
    /// Counter; labels `topic`, `reason`.
    pub const LOG_APPEND_FAILED: &str = "agentmesh_log_append_failures_total";
    /// Histogram: from the call to the last acknowledgement.
    pub const LOG_APPEND_SECONDS: &str = "agentmesh_log_append_seconds";
    /// Gauge: records waiting for their acknowledgement.
    pub const LOG_QUEUE_RECORDS: &str = "agentmesh_log_queue_records";
    /// Gauge: bytes waiting for their acknowledgement.
    pub const LOG_QUEUE_BYTES: &str = "agentmesh_log_queue_bytes";
    /// Counter: requests of any kind that producers have sent to brokers.
    pub const LOG_REQUESTS: &str = "agentmesh_log_requests_total";
    /// Counter: records that producers have sent to brokers, each try.
    pub const LOG_SENT: &str = "agentmesh_log_sent_records_total";
    /// Counter; label `topic`: batches sent, each a produce request.
    pub const LOG_BATCHES: &str = "agentmesh_log_batches_total";
    /// Counter; label `topic`: records in these batches.
    pub const LOG_BATCH_RECORDS: &str = "agentmesh_log_batch_records_total";
    /// Counter; label `topic`: bytes of these batches.
    pub const LOG_BATCH_BYTES: &str = "agentmesh_log_batch_bytes_total";
    /// Counter; labels `group`, `topic`.
    pub const LOG_CONSUMED: &str = "agentmesh_log_consumed_records_total";
    /// Gauge; labels `group`, `topic`, `partition`.
    pub const LOG_CONSUMER_LAG: &str = "agentmesh_log_consumer_lag_records";
    /// Counter; labels `group`, `change`.
    pub const LOG_REBALANCES: &str = "agentmesh_log_rebalances_total";
    /// Counter; label `operation`.
    pub const SCHEMA_REGISTRY_REQUESTS: &str = "agentmesh_schema_registry_requests_total";
    /// Counter; label `reason`: spans that were not exported.
    pub const SPANS_DROPPED: &str = "agentmesh_telemetry_spans_dropped_total";
    /// Counter.
    pub const SPANS_EXPORTED: &str = "agentmesh_telemetry_spans_exported_total";
}
