//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use metrics::counter;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use super::forwarded::{ClientAddress, client_address};
use super::guarded::{Guarded, Heads};
use super::pace::Paced;
use super::{Limits, Refused};
use crate::Problem;
use crate::tls::{ClientIdentity, ServerTls, agreed};

/// Memory that one HTTP/2 connection may take for bodies on their way in.
const HTTP_2_WINDOW: u32 = 1 << 20;
const HTTP_2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP_2_SEND_BUFFER: usize = 64 << 10;
/// Streams that we reset because of what the client did, beyond which it is an attack.
const HTTP_2_OUR_RESETS: usize = 256;

/// What all connections of a server have in common.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) router: Router,
    pub(super) limits: Limits,
    http_1: http1::Builder,
    http_2: http2::Builder<TokioExecutor>,
    /// Whether each answer is the last of its connection.
    pub(super) last_answers: AtomicBool,
    /// Ends connections once they have answered.
    pub(super) draining: CancellationToken,
}

/// What happened on one connection so far.
#[derive(Debug, Default)]
struct Activity {
    requests: AtomicU64,
    active: AtomicUsize,
    /// Told when a request was the last.
    last: Notify,
}

impl Server {
    pub(super) fn new(name: &'static str, router: Router, limits: Limits) -> Self {
        let mut http_1 = http1::Builder::new();
        http_1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read)
            .max_headers(limits.headers)
            .max_buf_size(limits.header_bytes.max(8_192))
            .half_close(false);
        let mut http_2 = http2::Builder::new(TokioExecutor::new());
        http_2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_local_error_reset_streams(HTTP_2_OUR_RESETS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_connection_window_size(HTTP_2_WINDOW)
            .initial_stream_window_size(HTTP_2_STREAM_WINDOW)
            .max_send_buf_size(HTTP_2_SEND_BUFFER)
            .keep_alive_interval(limits.header_read)
            .keep_alive_timeout(limits.header_read);
        Self {
            name,
            router,
            limits,
            http_1,
            http_2,
            last_answers: AtomicBool::new(false),
            draining: CancellationToken::new(),
        }
    }

    /// Serves one connection until it ends.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&ServerTls>,
    ) {
        let Some(tls) = tls else {
            return self.http_1(stream, peer, None).await;
        };
        if tls.is_expired() {
            return self.refused("expired-certificate");
        }
        let handshake = tokio::time::timeout(self.limits.handshake, tls.acceptor.accept(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(server.name = self.name, client.address = %peer, error = %error, "no handshake");
                return self.refused("handshake");
            }
            Err(_) => return self.refused("handshake-timeout"),
        };
        let (http_2, client) = agreed(stream.get_ref().1);
        let client = client.map(ClientIdentity::verified);
        if http_2 {
            self.http_2(stream, peer, client).await;
        } else {
            self.http_1(stream, peer, client).await;
        }
    }

    pub(super) fn refused(&self, reason: &'static str) {
        counter!("agentmesh_http_connections_refused_total", "server" => self.name, "reason" => reason)
            .increment(1);
    }

    pub(super) async fn http_1<S>(
        self: Arc<Self>,
        stream: S,
        peer: SocketAddr,
        client: Option<ClientIdentity>,
    ) where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let activity = Arc::new(Activity::default());
        let heads = Heads::new(self.limits.header_bytes.max(8_192));
        let stream = Guarded::new(stream, Some(heads.clone()), self.limits.write_stall);
        let service = service(self.clone(), activity.clone(), peer, client, Some(heads));
        let connection = self.http_1.serve_connection(TokioIo::new(stream), service);
        self.drive(connection, &activity).await;
    }

    async fn http_2<S>(self: Arc<Self>, stream: S, peer: SocketAddr, client: Option<ClientIdentity>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let activity = Arc::new(Activity::default());
        let stream = Guarded::new(stream, None, self.limits.write_stall);
        let service = service(self.clone(), activity.clone(), peer, client, None);
        let connection = self.http_2.serve_connection(TokioIo::new(stream), service);
        self.drive(connection, &activity).await;
    }

    /// Lets a connection work until it ends by itself, or asks it to: when the
    /// server drains, when it is old, when it has had its requests, when
    /// nothing happens on it.
    async fn drive<C>(&self, connection: C, activity: &Activity)
    where
        C: GracefulConnection,
        C::Error: std::fmt::Display,
    {
        let mut connection = pin!(connection);
        let mut old = pin!(sleep(self.limits.connection_age));
        let every = self.limits.header_read;
        let mut looking = interval_at(Instant::now() + every, every);
        let mut seen = 0;
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        // A client that went away or sent no HTTP; no fault of ours.
                        debug!(server.name = self.name, error = %error, "connection ended early");
                    }
                    return;
                }
                () = self.draining.cancelled(), if !ending => {}
                () = &mut old, if !ending => {}
                () = activity.last.notified(), if !ending => {}
                _ = looking.tick(), if !ending => {
                    let requests = activity.requests.load(Ordering::Relaxed);
                    let idle = requests == seen && activity.active.load(Ordering::Relaxed) == 0;
                    seen = requests;
                    if !idle {
                        continue;
                    }
                }
            }
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// Counts one request as active until it is dropped.
struct Active<'a>(&'a Activity);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of the request line and the headers, near enough.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let target = request.uri().path_and_query();
    let line = target.map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    line + headers
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum::<usize>()
}

/// The router as hyper wants it, with who is calling in the extensions.
fn service(
    server: Arc<Server>,
    activity: Arc<Activity>,
    peer: SocketAddr,
    client: Option<ClientIdentity>,
    heads: Option<Heads>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + 'static,
> + Send
+ 'static {
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let number = activity.requests.fetch_add(1, Ordering::Relaxed) + 1;
        activity.active.fetch_add(1, Ordering::Relaxed);
        let two_lengths = request.headers().contains_key(header::TRANSFER_ENCODING)
            && heads.as_ref().is_some_and(Heads::has_two_lengths);
        // The buffer bounds what is held, but a whole head may come in one read.
        let too_large = head_bytes(&request) > server.limits.header_bytes;
        let (mut parts, body) = request.into_parts();
        let trusted = &server.limits.trusted_proxies;
        let address = client_address(peer.ip(), &parts.headers, trusted);
        parts.extensions.insert(ClientAddress(address));
        if let Some(client) = &client {
            parts.extensions.insert(client.clone());
        }
        if two_lengths {
            parts.extensions.insert(Refused(Problem::bad_request(
                "Content-Length and Transfer-Encoding exclude one another",
            )));
        } else if too_large {
            parts
                .extensions
                .insert(Refused(Problem::headers_too_large()));
        }
        let limits = &server.limits;
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(Paced::new(
                body,
                limits.body_bytes_per_second,
                limits.body_grace,
            ))
        };
        let version = parts.version;
        let answering = server.router.clone().call(Request::from_parts(parts, body));
        let (server, activity) = (server.clone(), activity.clone());
        async move {
            let _active = Active(&activity);
            let mut response = answering.await?;
            let last = two_lengths
                || number >= server.limits.requests_per_connection
                || server.last_answers.load(Ordering::Relaxed);
            if last && version == Version::HTTP_2 {
                activity.last.notify_one();
            } else if last {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    })
}
