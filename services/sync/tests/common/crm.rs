//! A CRM that can be told to misbehave: a door in front of the real sandbox.
// Shared with the tests of the connector; neither uses all of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use platform_config::Settings;
use platform_http::{ClientOptions, Readiness, client, reqwest};
use platform_testkit::eventually;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const TOKEN: &str = "sandbox-token";
const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of the next call.
#[derive(Clone)]
pub(crate) enum Mood {
    /// Answered by the sandbox.
    Pass,
    /// Answered from here; the sandbox does not hear of it.
    Say(u16, Vec<(&'static str, &'static str)>, Value),
    /// Done by the sandbox, but nobody is told.
    DoAndHang,
    /// Answered by the sandbox once the gate opens.
    Wait(Arc<Notify>),
}

/// A call as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Crm {
    pub(crate) url: String,
    door: Arc<Door>,
    _stop: Arc<DropGuard>,
    _directory: Arc<tempfile::TempDir>,
}

struct Door {
    sandbox: String,
    http: reqwest::Client,
    moods: Mutex<VecDeque<Mood>>,
    calls: Mutex<Vec<Call>>,
    called: Notify,
}

impl Crm {
    /// A CRM without records, where tickets have the unique property `agentmesh_id`.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = platform_testkit::free_port().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut settings = Settings::defaults().unwrap();
        settings.crm_sandbox.listen = address;
        settings.crm_sandbox.data_dir = directory.path().to_owned();
        let stop = CancellationToken::new();
        tokio::spawn(services_crm_sandbox::run(
            Arc::new(settings),
            Readiness::new(),
            stop.clone(),
        ));
        let sandbox = format!("http://{address}");
        let http = client(ClientOptions::default()).unwrap();
        let property = json!({
            "name": "agentmesh_id", "label": "AgentMesh id", "type": "string",
            "fieldType": "text", "groupName": "ticketinformation", "hasUniqueValue": true,
        });
        eventually(PATIENCE, || async {
            http.post(format!("{sandbox}/crm/v3/properties/tickets"))
                .bearer_auth(TOKEN)
                .json(&property)
                .send()
                .await
                .and_then(reqwest::Response::error_for_status)
        })
        .await
        .unwrap();
        let door = Arc::new(Door {
            sandbox,
            http,
            moods: Mutex::default(),
            calls: Mutex::default(),
            called: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(enter).with_state(Arc::clone(&door));
        let ended = stop.clone();
        tokio::spawn(async move {
            ended
                .run_until_cancelled(async { axum::serve(listener, router).await })
                .await
        });
        Self {
            url,
            door,
            _stop: Arc::new(stop.drop_guard()),
            _directory: Arc::new(directory),
        }
    }

    /// How the next calls go, one after another; later ones pass.
    pub(crate) fn moods(&self, moods: impl IntoIterator<Item = Mood>) {
        self.door.moods.lock().unwrap().extend(moods);
    }

    /// How the next call is answered.
    pub(crate) fn says(&self, status: u16, body: Value) {
        self.moods([Mood::Say(status, Vec::new(), body)]);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.door.calls.lock().unwrap().clone()
    }

    /// Waits until there have been `count` calls.
    pub(crate) async fn called(&self, count: usize) {
        let enough = async {
            loop {
                let called = self.door.called.notified();
                if self.calls().len() >= count {
                    return;
                }
                called.await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.unwrap();
    }

    /// All tickets there are, archived ones excepted.
    pub(crate) async fn tickets(&self) -> Vec<Value> {
        let url = format!("{}/crm/v3/objects/tickets?limit=100", self.door.sandbox);
        let sent = self.door.http.get(url).bearer_auth(TOKEN).send();
        let answer: Value = sent.await.unwrap().json().await.unwrap();
        answer["results"].as_array().unwrap().clone()
    }

    /// Changes a ticket behind the back of the mesh.
    pub(crate) async fn meddle(&self, id: &str, properties: Value) {
        let url = format!("{}/crm/v3/objects/tickets/{id}", self.door.sandbox);
        let request = self.door.http.patch(url).bearer_auth(TOKEN);
        let sent = request.json(&json!({ "properties": properties })).send();
        sent.await.unwrap().error_for_status().unwrap();
    }
}

async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let target = parts.uri.path_and_query().unwrap().to_string();
    let authorization = parts.headers.get("authorization");
    let call = Call {
        authorization: authorization.map_or(String::new(), |value| {
            value.to_str().unwrap_or_default().to_owned()
        }),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let mood = door.moods.lock().unwrap().pop_front();
    door.calls.lock().unwrap().push(call);
    door.called.notify_waiters();
    let (gate, hang) = match mood {
        Some(Mood::Say(status, headers, body)) => {
            let mut response =
                (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return response;
        }
        Some(Mood::Wait(gate)) => (Some(gate), false),
        Some(Mood::DoAndHang) => (None, true),
        Some(Mood::Pass) | None => (None, false),
    };
    if let Some(gate) = gate {
        gate.notified().await;
    }
    // Detached: what a caller that gives up has asked for is done all the same.
    let done = tokio::spawn(pass(door, parts.method, target, parts.headers, body));
    let response = done.await.unwrap();
    if hang {
        std::future::pending::<()>().await;
    }
    response
}

async fn pass(
    door: Arc<Door>,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let mut request = door
        .http
        .request(method, format!("{}{target}", door.sandbox))
        .body(body);
    for name in ["authorization", "content-type"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, Body::from(answer.bytes().await.unwrap())).into_response()
}
