//! The agents over real MCP, on loopback, as the mesh calls them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use platform_config::Settings;
use platform_mcp::{Error, McpClient, ToolAnswer, ToolCall};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Serves the agents on a free port; returns the base address.
async fn serve(shutdown: &CancellationToken) -> String {
    let settings = Settings::defaults().unwrap();
    let router = services_agent_servers::router(&settings, shutdown).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = platform_http::bind(address).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let limits = platform_http::Limits::default();
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        platform_http::serve("agent-servers", listener, router, limits, shutdown).await
    });
    base
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn ticket() -> Value {
    json!({
        "ticket_id": "T-1001",
        "subject": "Refund for order 4711",
        "body": "I was charged 129.90 EUR twice for order 4711",
        "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
        "amount": 129.9,
    })
}

async fn call(
    client: &McpClient,
    endpoint: &str,
    tool: &str,
    arguments: Value,
    key: &str,
) -> Result<ToolAnswer, Error> {
    let call = ToolCall {
        endpoint,
        tool,
        arguments: object(arguments),
        idempotency_key: key,
        traceparent: Some(TRACEPARENT),
        deadline: Instant::now() + Duration::from_secs(20),
    };
    client.call_tool(call, &CancellationToken::new()).await
}

#[tokio::test]
async fn each_agent_answers_with_structured_content() {
    let shutdown = CancellationToken::new();
    let base = serve(&shutdown).await;
    let client = McpClient::new(platform_http::Outbound::new(vec![
        "127.0.0.0/8".parse().unwrap(),
    ]))
    .unwrap();
    let cases = [
        (
            "chatgpt-customer-support",
            "handle_ticket",
            json!({"ticket": ticket(), "history": []}),
            ("category", json!("billing")),
        ),
        (
            "claude-financial-analyst",
            "assess_refund",
            json!({"case": ticket()}),
            ("decision", json!("approve")),
        ),
        (
            "copilot-enterprise",
            "provision_access",
            json!({"employee": {"name": "Grace", "department": "Sales"}}),
            ("approvals", json!([])),
        ),
    ];
    for (agent, tool, arguments, (member, expected)) in cases {
        let endpoint = format!("{base}/{agent}/mcp");
        let answer = call(&client, &endpoint, tool, arguments, agent)
            .await
            .unwrap();
        assert_eq!(answer.output[member], expected, "{agent}");
        assert_eq!(
            answer.output["model"],
            services_agent_servers::OFFLINE_MODEL
        );
    }
    shutdown.cancel();
}

#[tokio::test]
async fn a_repeat_under_its_key_gets_the_answer_it_got() {
    let shutdown = CancellationToken::new();
    let endpoint = format!("{}/chatgpt-customer-support/mcp", serve(&shutdown).await);
    let client = McpClient::new(platform_http::Outbound::new(vec![
        "127.0.0.0/8".parse().unwrap(),
    ]))
    .unwrap();
    let first = json!({"ticket": ticket()});
    let mut later = first.clone();
    // By the time of the repeat the history has grown; the answer has not changed.
    later["history"] =
        json!([{"kind": "x", "at": "2026-11-01T00:00:00Z", "content": {"subject": "order 4711"}}]);
    let one = call(&client, &endpoint, "handle_ticket", first, "key")
        .await
        .unwrap();
    let two = call(&client, &endpoint, "handle_ticket", later.clone(), "key")
        .await
        .unwrap();
    let other = call(&client, &endpoint, "handle_ticket", later, "other")
        .await
        .unwrap();
    assert_eq!(one, two);
    assert_ne!(one, other);
}

#[tokio::test]
async fn calls_that_do_not_fit_are_refused() {
    let shutdown = CancellationToken::new();
    let endpoint = format!("{}/chatgpt-customer-support/mcp", serve(&shutdown).await);
    let client = McpClient::new(platform_http::Outbound::new(vec![
        "127.0.0.0/8".parse().unwrap(),
    ]))
    .unwrap();
    let error = call(&client, &endpoint, "transfer_money", json!({}), "a")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    let error = call(
        &client,
        &endpoint,
        "handle_ticket",
        json!({"ticket": "text"}),
        "b",
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("$.ticket"), "{error}");
    let nowhere = endpoint.replace("chatgpt", "nobody");
    let error = call(&client, &nowhere, "handle_ticket", json!({}), "c")
        .await
        .unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_reached_again() {
    let shutdown = CancellationToken::new();
    let base = serve(&shutdown).await;
    let endpoint = format!("{base}/chatgpt-customer-support/mcp");
    let client = McpClient::new(platform_http::Outbound::new(vec![
        "127.0.0.0/8".parse().unwrap(),
    ]))
    .unwrap();
    let arguments = json!({"ticket": ticket()});
    call(&client, &endpoint, "handle_ticket", arguments.clone(), "a")
        .await
        .unwrap();
    shutdown.cancel();
    // The listener is gone once connecting is refused.
    let address = base.trim_start_matches("http://");
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = call(&client, &endpoint, "handle_ticket", arguments.clone(), "b")
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");

    let settings = Settings::defaults().unwrap();
    let again = CancellationToken::new();
    let router = services_agent_servers::router(&settings, &again).unwrap();
    let listener = platform_http::bind(address.parse().unwrap()).await.unwrap();
    let limits = platform_http::Limits::default();
    tokio::spawn(platform_http::serve(
        "agent-servers",
        listener,
        router,
        limits,
        again,
    ));
    call(&client, &endpoint, "handle_ticket", arguments, "c")
        .await
        .unwrap();
}

#[tokio::test]
async fn clients_of_the_older_revision_are_served() {
    let shutdown = CancellationToken::new();
    let endpoint = format!("{}/chatgpt-customer-support/mcp", serve(&shutdown).await);
    let http = platform_http::client(platform_http::ClientOptions::default()).unwrap();
    let post = async |version: Option<&str>, body: Value| {
        let mut request = http
            .post(&endpoint)
            .header("accept", "application/json, text/event-stream")
            .json(&body);
        if let Some(version) = version {
            request = request.header("mcp-protocol-version", version);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "older", "version": "1"},
    }});
    let (status, text) = post(None, initialize).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");

    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}});
    let (status, text) = post(Some("2025-11-25"), list).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["result"]["tools"][0]["name"], "handle_ticket");
    assert!(answer["result"]["tools"][0]["outputSchema"].is_object());

    let handle = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
        "name": "handle_ticket", "arguments": {"ticket": ticket()},
    }});
    let (status, text) = post(Some("2025-11-25"), handle).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["result"]["structuredContent"]["priority"], "high");
}

#[tokio::test]
async fn names_from_elsewhere_are_not_served_on_loopback() {
    let shutdown = CancellationToken::new();
    let endpoint = format!("{}/chatgpt-customer-support/mcp", serve(&shutdown).await);
    let http = platform_http::client(platform_http::ClientOptions::default()).unwrap();
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let response = http
            .post(&endpoint)
            .header("accept", "application/json, text/event-stream")
            .header(name, value)
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), 403, "{name}");
    }
}
