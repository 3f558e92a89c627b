//! The server over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::time::Duration;

use platform_http::axum::Router;
use platform_http::axum::routing::{get, post};
use platform_http::{
    ClientOptions, Json, Limits, PROBLEM_CONTENT_TYPE, Readiness, bind, client, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(router: Router, limits: Limits) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task =
            tokio::spawn(
                async move { serve("test", listener, router, limits, stop).await.unwrap() },
            );
        Self {
            address,
            shutdown,
            task,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends bytes and returns all that comes back until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn http() -> platform_http::reqwest::Client {
    client(ClientOptions::default()).unwrap()
}

async fn sum(Json(numbers): Json<Vec<i64>>) -> String {
    numbers.iter().sum::<i64>().to_string()
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let router = Router::new()
        .route("/sum", post(sum))
        .route("/panic", get(|| async { panic!("on purpose") as () }));
    let limits = Limits {
        body_bytes: 100,
        ..Limits::default()
    };
    let server = Server::start(router, limits).await;
    let json = |body: String| {
        http()
            .post(server.url("/sum"))
            .header("content-type", "application/json")
            .body(body)
    };
    let long = format!("[{}1]", "1,".repeat(60));
    for (request, status, slug) in [
        (http().get(server.url("/nowhere")), 404, "not-found"),
        (http().get(server.url("/sum")), 405, "method-not-allowed"),
        (
            http().post(server.url("/sum")),
            415,
            "unsupported-media-type",
        ),
        (json("[1,".to_owned()), 400, "bad-request"),
        (json(long), 413, "too-large"),
        (http().get(server.url("/panic")), 500, "internal"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{slug}");
        assert_eq!(answer.headers()["content-type"], PROBLEM_CONTENT_TYPE);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(
            problem["type"],
            format!("https://agentmesh.cloud/problems/{slug}")
        );
        assert_eq!(problem["status"], status);
    }
    let answer = json("[1, 2]".to_owned()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "3");
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused() {
    let limits = Limits {
        body_bytes: 100,
        ..Limits::default()
    };
    let server = Server::start(Router::new().route("/sum", post(sum)), limits).await;
    let mut request = b"POST /sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for _ in 0..20 {
        request.extend_from_slice(b"a\r\n[1,1,1,1,1\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = server.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("problems/too-large"), "{answer}");
}

#[tokio::test]
async fn two_readings_of_one_length_are_refused() {
    let server = Server::start(Router::new().route("/sum", post(sum)), Limits::default()).await;
    for request in [
        "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n[1]",
        "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n[1]",
        "POST /sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n[1]",
        "POST /sum HTTP/1.1\r\nHost : x\r\n\r\n",
    ] {
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn headers_are_limited_in_size_number_and_time() {
    let limits = Limits {
        header_bytes: 8_192,
        headers: 10,
        header_read: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(Router::new().route("/", get(|| async { "" })), limits).await;
    let large = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "a".repeat(10_000)
    );
    assert!(
        server
            .raw(large.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: a\r\n".repeat(20));
    assert!(
        server
            .raw(many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    // Ends because the server closes, not because the test does.
    server.raw(b"GET / HTTP/1.1\r\nHost: x\r\nA: ").await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_ended() {
    let router = Router::new().route("/", get(std::future::pending::<&'static str>));
    let limits = Limits {
        request: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start(router, limits).await;
    let answer = http().get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 408);
}

#[tokio::test]
async fn one_connection_more_than_allowed_waits() {
    let router = Router::new().route("/", get(|| async { "here" }));
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = Server::start(router, limits).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let waiting = second.read_to_string(&mut answer);
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("answered while the first connection was open"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    drop(first);
    waiting.await.unwrap();
    assert!(answer.ends_with("here"), "{answer}");
}

#[tokio::test]
async fn what_is_under_way_is_answered_and_nothing_new_is_taken() {
    let (entered, mut entries) = mpsc::channel(1);
    let release = CancellationToken::new();
    let router = Router::new().route(
        "/",
        get({
            let release = release.clone();
            move || async move {
                entered.send(()).await.unwrap();
                release.cancelled().await;
                "finished"
            }
        }),
    );
    let server = Server::start(router, Limits::default()).await;
    let url = server.url("/");
    let under_way = tokio::spawn(async move { http().get(url).send().await.unwrap() });
    entries.recv().await.unwrap();
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    release.cancel();
    let answer = under_way.await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "finished");
    server.task.await.unwrap();
}

#[tokio::test]
async fn draining_has_a_deadline() {
    let (entered, mut entries) = mpsc::channel(1);
    let router = Router::new().route(
        "/",
        get(move || async move {
            entered.send(()).await.unwrap();
            std::future::pending::<&'static str>().await
        }),
    );
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start(router, limits).await;
    let url = server.url("/");
    let hanging = tokio::spawn(async move { http().get(url).send().await.map(|_| ()) });
    entries.recv().await.unwrap();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(hanging.await.unwrap().is_err(), "the connection is cut");
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let readiness = Readiness::new();
    let part = readiness.component("part");
    let server = Server::start(readiness.metrics_router(), Limits::default()).await;
    let status = async |path: &str| http().get(server.url(path)).send().await.unwrap().status();
    assert_eq!(status("/healthz").await, 200);
    assert_eq!(status("/readyz").await, 503);
    part.ready();
    assert_eq!(status("/readyz").await, 200);
    assert_eq!(status("/metrics").await, 200);
    let states: serde_json::Value = http()
        .get(server.url("/readyz"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(states["components"]["part"]["status"], "ready");
}

#[tokio::test]
async fn the_client_follows_no_redirect_and_says_who_it_is() {
    let router = Router::new()
        .route(
            "/away",
            get(|| async { platform_http::axum::response::Redirect::temporary("/agent") }),
        )
        .route(
            "/agent",
            get(|headers: platform_http::axum::http::HeaderMap| async move {
                headers["user-agent"].to_str().unwrap().to_owned()
            }),
        );
    let server = Server::start(router, Limits::default()).await;
    let away = http().get(server.url("/away")).send().await.unwrap();
    assert_eq!(away.status(), 307);
    let agent = http().get(server.url("/agent")).send().await.unwrap();
    assert!(agent.text().await.unwrap().starts_with("agentmesh/"));
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(address).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}
