//! What strangers may try on a socket, and what a restart does to the honest.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use platform_config::Settings;
use platform_http::axum::Router;
use platform_http::axum::extract::Extension;
use platform_http::axum::extract::Request;
use platform_http::axum::response::{IntoResponse, Response};
use platform_http::axum::routing::{get, post};
use platform_http::{
    ClientAddress, ClientOptions, Limits, Problem, Readiness, bind, client, listen, read_body,
    redirect_to, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A large answer, for those who do not read it.
const LARGE: usize = 64 << 20;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(address, listener, limits)
    }

    fn serve(
        address: SocketAddr,
        listener: impl Into<platform_http::Listener>,
        limits: Limits,
    ) -> Self {
        let listener = listener.into();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            serve("test", listener, router(), limits, stop)
                .await
                .unwrap();
        });
        Self {
            address,
            shutdown,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and returns all that comes back until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "here" }))
        .route("/who", get(who))
        .route("/length", post(length))
        .route("/json", post(json_only))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
}

async fn who(Extension(ClientAddress(address)): Extension<ClientAddress>) -> String {
    address.to_string()
}

async fn length(request: Request) -> Result<String, Problem> {
    let body = read_body(request.into_body(), None, 1 << 20).await?;
    Ok(body.len().to_string())
}

/// Looks at the head before it asks for the body, as the gateway does.
async fn json_only(request: Request) -> Response {
    if !request.headers().contains_key("x-good") {
        return Problem::unsupported_media_type("say that it is good").into_response();
    }
    length(request).await.into_response()
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `end` has come.
async fn up_to(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    let mut piece = [0; 4096];
    while !answer.contains(end) {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    answer
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_and_ends_the_connection() {
    let server = Server::start(Limits::default()).await;
    let smuggled = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "content-length: 5\r\nX: y\r\ntransfer-encoding: gzip, chunked\r\n",
    ] {
        let request =
            format!("POST /length HTTP/1.1\r\nHost: x\r\n{lengths}\r\n0\r\n\r\n{smuggled}");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{lengths}: {answer}");
        assert!(answer.contains("problems/bad-request"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    // Behind an honest request on the same connection, in the same packet.
    let two = "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
        POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = server.raw(two.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn an_honest_chunked_request_is_read() {
    let server = Server::start(Limits::default()).await;
    let request = "POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.ends_with('3'), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_is_cut() {
    let server = Server::start(Limits {
        body_bytes_per_second: 1_000,
        body_grace: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let trickling = tokio::spawn(async move {
        while writing.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    trickling.await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_cut() {
    let server = Server::start(Limits {
        write_stall: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    up_to(&mut stream, "\r\n\r\n").await;
    // Nothing is read for longer than the server puts up with.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(rest(&mut stream).await.len() < LARGE);
}

#[tokio::test]
async fn a_connection_too_many_from_one_address_is_closed() {
    let server = Server::start(Limits {
        connections_per_address: 2,
        ..Limits::default()
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        up_to(&mut stream, "here").await;
        kept.push(stream);
    }
    assert_eq!(server.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, "");
    drop(kept);
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    while !server.raw(request).await.ends_with("here") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_trusted_proxy_may_connect_for_many_and_says_for_whom() {
    let limits = |trusted: &[&str]| Limits {
        connections_per_address: 1,
        trusted_proxies: trusted.iter().map(|text| text.parse().unwrap()).collect(),
        ..Limits::default()
    };
    let request = b"GET /who HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n";
    let behind = Server::start(limits(&["127.0.0.0/8"])).await;
    let _kept = behind.connect().await;
    let answer = behind.raw(request).await;
    assert!(answer.ends_with("\r\n\r\n203.0.113.7"), "{answer}");
    let facing = Server::start(limits(&["10.0.0.0/8"])).await;
    let answer = facing.raw(request).await;
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_connection_ends_after_its_requests_its_time_or_its_idleness() {
    let server = Server::start(Limits {
        requests_per_connection: 2,
        ..Limits::default()
    })
    .await;
    let twice = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    let answer = server.raw(twice.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");

    for limits in [
        Limits {
            connection_age: Duration::from_millis(200),
            ..Limits::default()
        },
        Limits {
            header_read: Duration::from_millis(200),
            ..Limits::default()
        },
    ] {
        let server = Server::start(limits).await;
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        up_to(&mut stream, "here").await;
        // Returns because the server closes.
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_though_it_keeps_coming() {
    let server = Server::start(Limits {
        header_read: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    while stream.write_all(b"A: a\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_head_is_good() {
    let server = Server::start(Limits {
        body_bytes: 100,
        ..Limits::default()
    })
    .await;
    let head = |more: &str, length: usize| {
        format!(
            "POST /json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n{more}\r\n"
        )
    };
    for (head, status) in [(head("", 3), "415"), (head("X-Good: yes\r\n", 101), "413")] {
        let answer = server.raw(head.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(!answer.contains("100 Continue"), "{answer}");
    }
    let mut stream = server.connect().await;
    let good = head("X-Good: yes\r\n", 3);
    stream.write_all(good.as_bytes()).await.unwrap();
    up_to(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"abc").await.unwrap();
    assert!(rest(&mut stream).await.ends_with('3'));
}

#[tokio::test]
async fn plain_http_is_led_to_https_with_its_path() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let router = redirect_to("https://mesh.example/");
        serve("redirect", listener, router, Limits::default(), stop)
            .await
            .unwrap();
    });
    let http = client(ClientOptions::default()).unwrap();
    let answer = http
        .post(format!("http://{address}/hooks/a?b=c"))
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 308);
    assert_eq!(
        answer.headers()["location"],
        "https://mesh.example/hooks/a?b=c"
    );
    shutdown.cancel();
}

/// Servers that follow one another at one address, under a steady load of
/// clients that keep their connections and clients that do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request() {
    let mut settings = Settings::defaults().unwrap();
    settings.http.reuse_port = true;
    let start = |address: SocketAddr| {
        let readiness = Readiness::new();
        let tls = &settings.gateway.tls;
        let listener = listen("test", address, tls, &settings, &readiness).unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            drain_notice: Duration::from_millis(300),
            ..Limits::default()
        };
        Server::serve(address, listener, limits)
    };
    let mut present = start(SocketAddr::from(([127, 0, 0, 1], 0)));
    let address = present.address;
    let done = Arc::new(AtomicBool::new(false));
    let answered: Vec<_> = (0..8).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut load = Vec::new();
    for (number, answered) in answered.iter().enumerate() {
        let options = ClientOptions {
            idle_per_host: if number % 2 == 0 { 8 } else { 0 },
            ..ClientOptions::default()
        };
        let http = client(options).unwrap();
        let (done, answered) = (done.clone(), answered.clone());
        load.push(tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let answer = http
                    .post(format!("http://{address}/length"))
                    .body("abc")
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.text().await.unwrap(), "3");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for _ in 0..4 {
        // Everybody has found the present server before the next one comes: a
        // client whose first packet was dropped waits a second.
        for answered in &answered {
            let until = answered.load(Ordering::Relaxed) + 25;
            while answered.load(Ordering::Relaxed) < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let next = start(address);
        present.shutdown.cancel();
        present.task.await.unwrap();
        present = next;
    }
    done.store(true, Ordering::Relaxed);
    for caller in load {
        caller.await.expect("no request failed");
    }
    let answered = answered.iter().map(|one| one.load(Ordering::Relaxed));
    assert!(answered.sum::<usize>() >= 800);
}
