use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{debug, error, info, warn};

use crate::observe::{errors_as_problems, no_sniffing, observe};
use crate::{Error, Problem};

/// What one server grants to those who connect.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the request line and all headers; also how long an idle connection is kept.
    pub header_read: Duration,
    /// From the complete headers to the start of the answer, the body's arrival included.
    pub request: Duration,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of the request line and all headers.
    pub header_bytes: usize,
    pub headers: usize,
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// How long answers under way may take after shutdown was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(30),
            request: Duration::from_secs(30),
            body_bytes: 1 << 20,
            header_bytes: 64 << 10,
            headers: 100,
            connections: 10_000,
            drain: Duration::from_secs(20),
        }
    }
}

/// Listens on `address`.
///
/// # Errors
/// When that is not possible; the error names the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Bind { address, source })
}

/// `router` with what every server of ours does around it: panics caught, time
/// and size limited, spans and metrics recorded, every error a problem. `serve`
/// applies it; tests that call a router without a socket may do so themselves.
pub fn layered(name: &'static str, router: Router, limits: &Limits) -> Router {
    let request_timeout = limits.request;
    let body_bytes = limits.body_bytes;
    router
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(from_fn(move |request: Request, next: Next| async move {
            limited(request_timeout, body_bytes, request, next).await
        }))
        .layer(CatchPanicLayer::custom(move |_| panicked(name)))
        .layer(map_response(errors_as_problems))
        .layer(map_response(no_sniffing))
        .layer(from_fn(move |request: Request, next: Next| {
            observe(name, request, next)
        }))
}

/// Serves `router` until `shutdown`, then stops accepting, lets answers under
/// way finish within the drain deadline, and returns.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let address = listener
        .local_addr()
        .map_err(|source| Error::Listener { name, source })?;
    info!(server.name = name, server.address = %address, "listening");
    let router = layered(name, router, &limits);
    let connection_builder = connection_builder(&limits);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let drain = GracefulShutdown::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(name, &listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let connection = connection_builder.serve_connection(
            TokioIo::new(stream),
            connection_service(router.clone(), peer),
        );
        let connection = drain.watch(connection);
        let cut = cut.clone();
        tokio::spawn(async move {
            let connections = gauge!("http_server_connections", "server" => name);
            connections.increment(1.0);
            if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
                // A client that went away or sent no HTTP; no fault of ours.
                debug!(server.name = name, error = %error, "connection ended early");
            }
            connections.decrement(1.0);
            drop(permit);
        });
    }
    drop(listener);
    let open = drain.count();
    info!(server.name = name, connections.open = open, "draining");
    if tokio::time::timeout(limits.drain, drain.shutdown())
        .await
        .is_err()
    {
        warn!(
            server.name = name,
            "drain deadline passed; remaining connections are cut"
        );
        cut.cancel();
    }
    info!(server.name = name, "stopped");
    Ok(())
}

fn connection_builder(limits: &Limits) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes.max(8_192))
        .half_close(false);
    builder
}

/// The next connection, once there is room for one. None after a failure that
/// may pass, such as running out of file descriptors.
async fn accept(
    name: &'static str,
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Fails only on a socket that is gone already.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(cause) if is_of_the_connection(&cause) => None,
        Err(cause) => {
            error!(server.name = name, error = %cause, "cannot accept");
            counter!("http_server_accept_errors_total", "server" => name).increment(1);
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        }
    }
}

fn is_of_the_connection(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        cause.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// The router as hyper wants it, with the peer's address in the extensions.
fn connection_service(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> {
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    })
}

/// Refuses a declared length over the limit before the body is read, and ends
/// what takes too long. The limit on bodies without a declared length lies in
/// the reading: [`DefaultBodyLimit`] for extractors, `read_body` otherwise.
async fn limited(
    timeout: Duration,
    body_bytes: usize,
    request: Request<Body>,
    next: Next,
) -> Response {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if declared.is_some_and(|length| length > body_bytes as u64) {
        return Problem::too_large(body_bytes).into_response();
    }
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::request_timeout().into_response(),
    }
}

fn panicked(name: &'static str) -> Response {
    error!(server.name = name, "a handler panicked");
    counter!("http_server_panics_total", "server" => name).increment(1);
    Problem::internal().into_response()
}
