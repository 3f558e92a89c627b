//! Calls that end well, badly, too late or not at all, over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use platform_mcp::{
    Error, IncomingCall, McpClient, ServerOptions, ToolCall, ToolFailure, ToolSpec, Toolbox, router,
};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Default)]
struct Tools {
    hanging: Notify,
    hung_up: Arc<Notify>,
}

/// Tells when the call it belongs to is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Toolbox for Tools {
    fn name(&self) -> &str {
        "tools"
    }

    fn instructions(&self) -> &str {
        "For tests."
    }

    fn tools(&self) -> Vec<ToolSpec> {
        let object = |value: Value| value.as_object().unwrap().clone();
        let tool = |name| ToolSpec {
            name,
            title: name,
            description: name,
            input_schema: object(json!({"type": "object"})),
            output_schema: object(json!({"type": "object"})),
            read_only: true,
        };
        ["echo", "fail", "hang"].map(tool).into()
    }

    async fn call(&self, call: IncomingCall) -> Result<Map<String, Value>, ToolFailure> {
        match call.tool.as_str() {
            "echo" => Ok(Map::from_iter([
                ("key".to_owned(), json!(call.idempotency_key)),
                ("traceparent".to_owned(), json!(call.traceparent)),
                ("arguments".to_owned(), Value::Object(call.arguments)),
            ])),
            "fail" => Err(ToolFailure::Failed("out of paper".to_owned())),
            "hang" => {
                let _dropped = Dropped(Arc::clone(&self.hung_up));
                self.hanging.notify_one();
                call.cancel.cancelled().await;
                Err(ToolFailure::Failed("called off".to_owned()))
            }
            _ => Err(ToolFailure::UnknownTool),
        }
    }
}

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    endpoint
}

async fn serve_tools() -> (Arc<Tools>, String) {
    let tools = Arc::new(Tools::default());
    let options = ServerOptions {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        max_body_bytes: 1 << 20,
        shutdown: CancellationToken::new(),
    };
    let endpoint = serve(router("/mcp", Arc::clone(&tools), options)).await;
    (tools, endpoint)
}

fn call<'a>(endpoint: &'a str, tool: &'a str, within: Duration) -> ToolCall<'a> {
    ToolCall {
        endpoint,
        tool,
        arguments: Map::from_iter([("a".to_owned(), json!([1, "b"]))]),
        idempotency_key: "execution-1",
        traceparent: Some(TRACEPARENT),
        deadline: Instant::now() + within,
    }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn arguments_key_and_trace_reach_the_tool() {
    let (_, endpoint) = serve_tools().await;
    let client = McpClient::new(local()).unwrap();
    let answer = client
        .call_tool(call(&endpoint, "echo", LONG), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(answer.output["key"], "execution-1");
    assert_eq!(answer.output["traceparent"], TRACEPARENT);
    assert_eq!(answer.output["arguments"], json!({"a": [1, "b"]}));
}

#[tokio::test]
async fn a_tool_that_fails_says_so_and_is_not_repeated() {
    let (_, endpoint) = serve_tools().await;
    let client = McpClient::new(local()).unwrap();
    let error = client
        .call_tool(call(&endpoint, "fail", LONG), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Tool { message } if message == "out of paper"));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_deadline_closes_the_call() {
    let (tools, endpoint) = serve_tools().await;
    let client = McpClient::new(local()).unwrap();
    let cancel = CancellationToken::new();
    // Connected already, so that the deadline falls into the call.
    client
        .call_tool(call(&endpoint, "echo", LONG), &cancel)
        .await
        .unwrap();
    let short = call(&endpoint, "hang", Duration::from_millis(300));
    let error = client.call_tool(short, &cancel).await.unwrap_err();
    assert!(matches!(error, Error::Deadline));
    tokio::time::timeout(LONG, tools.hung_up.notified())
        .await
        .unwrap();
    // The connection is still good for other calls.
    client
        .call_tool(call(&endpoint, "echo", LONG), &cancel)
        .await
        .unwrap();
}

#[tokio::test]
async fn cancelling_closes_the_call() {
    let (tools, endpoint) = serve_tools().await;
    let client = McpClient::new(local()).unwrap();
    let cancel = CancellationToken::new();
    let calling = client.call_tool(call(&endpoint, "hang", LONG), &cancel);
    let cancelling = async {
        tools.hanging.notified().await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(calling, cancelling);
    assert!(matches!(result, Err(Error::Cancelled)));
    tokio::time::timeout(LONG, tools.hung_up.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let (_, endpoint) = serve_tools().await;
    let client = McpClient::new(local()).unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, endpoint) = (client.clone(), endpoint.clone());
        calls.spawn(async move {
            let cancel = CancellationToken::new();
            client
                .call_tool(call(&endpoint, "echo", LONG), &cancel)
                .await
        });
    }
    for answer in calls.join_all().await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_told_from_what_may_not() {
    let client = McpClient::new(local()).unwrap();
    let cancel = CancellationToken::new();
    let answering = async |status: StatusCode, wait: Option<&'static str>, body: &'static str| {
        let answer = move || async move {
            let mut headers = axum::http::HeaderMap::new();
            if let Some(wait) = wait {
                headers.insert("retry-after", wait.parse().unwrap());
            }
            (status, headers, body)
        };
        let endpoint = serve(axum::Router::new().fallback(answer)).await;
        let call = call(&endpoint, "echo", LONG);
        client.call_tool(call, &cancel).await.unwrap_err()
    };
    let busy = answering(StatusCode::TOO_MANY_REQUESTS, Some("7"), "").await;
    assert!(
        matches!(&busy, Error::Unreachable { retry_after: Some(wait), .. } if wait.as_secs() == 7),
        "{busy:?}"
    );
    let down = answering(StatusCode::SERVICE_UNAVAILABLE, None, "").await;
    assert!(down.is_transient(), "{down:?}");
    for (status, body) in [
        (StatusCode::OK, "<html>hello</html>"),
        (StatusCode::NOT_FOUND, "not here"),
        (StatusCode::UNAUTHORIZED, ""),
    ] {
        let error = answering(status, None, body).await;
        assert!(!error.is_transient(), "{status}: {error:?}");
    }
    let nobody = call("http://127.0.0.1:1/mcp", "echo", LONG);
    let error = client.call_tool(nobody, &cancel).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

/// Agent servers of these tests listen on loopback.
fn local() -> platform_http::Outbound {
    platform_http::Outbound::new(vec!["127.0.0.0/8".parse().unwrap()])
}

#[tokio::test]
async fn an_address_inside_is_not_called() {
    let client = McpClient::new(platform_http::Outbound::default()).unwrap();
    for endpoint in [
        "http://127.0.0.1:1/mcp",
        "http://2130706433:1/mcp",
        "http://localhost:1/mcp",
    ] {
        let call = ToolCall {
            endpoint,
            tool: "t",
            arguments: serde_json::Map::new(),
            idempotency_key: "k",
            traceparent: None,
            deadline: tokio::time::Instant::now() + std::time::Duration::from_secs(30),
        };
        let error = client
            .call_tool(call, &tokio_util::sync::CancellationToken::new())
            .await;
        assert!(error.is_err(), "{endpoint}");
    }
}
