//! A provider that plays back recordings and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{Completion, ProviderError, Task};

pub(super) struct Asked {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// A status, a `retry-after-ms` header and a body.
pub(super) type Answer = (u16, Option<&'static str>, &'static str);

#[derive(Clone, Default)]
pub(super) struct Recorded {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Recorded {
    /// Serves the answers one after the other; returns itself and its base address.
    pub(super) async fn serve(answers: &[Answer]) -> (Self, String) {
        let recorded = Self::default();
        recorded.answers.lock().unwrap().extend(answers);
        let router = Router::new().fallback(play).with_state(recorded.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (recorded, base)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn play(State(recorded): State<Recorded>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    recorded.asked.lock().unwrap().push(Asked {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap(),
    });
    let (status, wait, body) = recorded.answers.lock().unwrap().pop_front().unwrap();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if let Some(wait) = wait {
        let wait = wait.parse().unwrap();
        response.headers_mut().insert("retry-after-ms", wait);
    }
    response
}

/// Asks `provider` with a small task of the given name.
pub(super) async fn ask(
    provider: &super::Provider,
    name: &str,
) -> Result<Completion, ProviderError> {
    let data = Map::from_iter([("ticket".to_owned(), json!({"body": "order 4711"}))]);
    let output = crate::schema::exactly(&json!({"summary": {"type": "string"}}));
    let task = Task {
        name,
        description: "Does it.",
        instructions: "Do it.",
        data: &data,
        output: &output,
    };
    provider.complete(&task).await
}
