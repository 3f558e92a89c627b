mod addresses;
mod connection;
mod forwarded;
pub mod fuzzing;
mod guarded;
mod limits;
mod listener;
mod pace;
mod redirect;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use metrics::{counter, gauge};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{error, info, warn};

use crate::observe::observe;
use crate::{Error, Problem};

pub use addresses::network;
pub use forwarded::ClientAddress;
pub use limits::Limits;
pub use listener::{Listener, bind, listen};
pub(crate) use pace::BodyError;
pub use redirect::redirect_to;

use addresses::Addresses;
use connection::Server;
use forwarded::is_trusted;

/// How long handshakes that have begun are waited for when the port is given
/// up: a client's answer to our part of one takes a round trip.
const HANDSHAKES: Duration = Duration::from_millis(250);

/// A request that is refused before a handler sees it.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Problem);

/// `router` with what every server of ours does around it: panics caught, time
/// and size limited, spans and metrics recorded, every error a problem. `serve`
/// applies it; tests that call a router without a socket may do so themselves.
pub fn layered(name: &'static str, router: Router, limits: &Limits) -> Router {
    let request_timeout = limits.request;
    let body_bytes = limits.body_bytes;
    let headers = limits.headers;
    // One stack, outermost first: what is added to a router by itself is boxed by
    // itself, and each request clones all that lies below.
    let around = ServiceBuilder::new()
        .layer(from_fn(move |request: Request, next: Next| {
            observe(name, request, next)
        }))
        .layer(CatchPanicLayer::custom(move |_| panicked(name)))
        .layer(from_fn(move |request: Request, next: Next| {
            limited(request_timeout, body_bytes, headers, request, next)
        }))
        .layer(DefaultBodyLimit::max(body_bytes));
    router.layer(around)
}

/// Serves `router` until `shutdown`. Then, for the time of the drain notice,
/// goes on with answers that close their connections; stops accepting, lets
/// answers under way finish within the drain deadline, and returns.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    name: &'static str,
    listener: impl Into<Listener>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut listener = listener.into();
    let address = listener
        .local_addr()
        .map_err(|source| Error::Listener { name, source })?;
    let tls = listener.tls.take().map(Arc::new);
    info!(server.name = name, server.address = %address, server.tls = tls.is_some(), "listening");
    let router = layered(name, router, &limits);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::new(limits.connections_per_address);
    let server = Arc::new(Server::new(name, router, limits));
    let tracker = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut closing = pin!(closing(&shutdown, &server));
    let mut linger_until = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.as_mut(), if linger_until.is_none() => {
                if !listener.shared {
                    break;
                }
                listener.begin_no_more();
                linger_until = Some(Instant::now() + HANDSHAKES);
                continue;
            }
            () = until(linger_until), if linger_until.is_some() => break,
            accepted = accept(name, &listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let counted = if is_trusted(peer.ip(), &server.limits.trusted_proxies) {
            None
        } else {
            let counted = addresses.count(peer.ip());
            if counted.is_none() {
                server.refused("address");
                continue;
            }
            counted
        };
        let (server, tls, cut) = (server.clone(), tls.clone(), cut.clone());
        tracker.spawn(async move {
            let connections = gauge!("http_server_connections", "server" => name);
            connections.increment(1.0);
            cut.run_until_cancelled(server.serve(stream, peer, tls.as_deref()))
                .await;
            connections.decrement(1.0);
            drop((permit, counted));
        });
    }
    drop(listener);
    info!(
        server.name = name,
        connections.open = tracker.len(),
        "draining"
    );
    server.draining.cancel();
    tracker.close();
    if tokio::time::timeout(server.limits.drain, tracker.wait())
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

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Returns when no more connections are to be taken.
async fn closing(shutdown: &CancellationToken, server: &Server) {
    shutdown.cancelled().await;
    let notice = server.limits.drain_notice;
    if !notice.is_zero() {
        server.last_answers.store(true, Ordering::Relaxed);
        tokio::time::sleep(notice).await;
    }
}

/// The next connection, once there is room for one. None after a failure that
/// may pass, such as running out of file descriptors.
async fn accept(
    name: &'static str,
    listener: &Listener,
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

/// Refuses what the connection found wrong, too many headers, and a declared
/// length over the limit before the body is read, and ends
/// what takes too long. The limit on bodies without a declared length lies in
/// the reading: [`DefaultBodyLimit`] for extractors, `read_body` otherwise.
async fn limited(
    timeout: Duration,
    body_bytes: usize,
    headers: usize,
    request: Request<Body>,
    next: Next,
) -> Response {
    if let Some(Refused(problem)) = request.extensions().get() {
        return problem.clone().into_response();
    }
    if request.headers().len() > headers {
        return Problem::headers_too_large().into_response();
    }
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
