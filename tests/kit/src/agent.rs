use std::sync::Arc;

use anyhow::Context as _;
use platform_mcp::{IncomingCall, ServerOptions, ToolFailure, ToolSpec, Toolbox, router};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// An MCP server whose one tool, `answer`, always fails. Its server ends with
/// the test's runtime.
#[derive(Debug)]
pub struct UnhelpfulAgent;

impl UnhelpfulAgent {
    /// Serves it and returns its endpoint.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn serve() -> anyhow::Result<String> {
        let options = ServerOptions {
            allowed_hosts: Vec::new(),
            max_body_bytes: 1 << 20,
            shutdown: CancellationToken::new(),
        };
        let router = router("/mcp", Arc::new(Self), options);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}/mcp", listener.local_addr()?);
        tokio::spawn(async move { platform_http::axum::serve(listener, router).await });
        Ok(endpoint)
    }
}

impl Toolbox for UnhelpfulAgent {
    fn name(&self) -> &str {
        "unhelpful"
    }

    fn instructions(&self) -> &str {
        "Fails."
    }

    fn tools(&self) -> Vec<ToolSpec> {
        let object = || Map::from_iter([("type".to_owned(), json!("object"))]);
        vec![ToolSpec {
            name: "answer",
            title: "Answer",
            description: "Fails whatever it is asked.",
            input_schema: object(),
            output_schema: object(),
            read_only: true,
        }]
    }

    async fn call(&self, _call: IncomingCall) -> Result<Map<String, Value>, ToolFailure> {
        Err(ToolFailure::Failed("the model is out of order".to_owned()))
    }
}

/// The endpoint of a server that takes connections and never answers. It ends
/// with the test's runtime.
///
/// # Errors
/// When no port can be bound.
pub async fn silent_endpoint() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
    let endpoint = format!("http://{}/mcp", listener.local_addr()?);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    Ok(endpoint)
}
