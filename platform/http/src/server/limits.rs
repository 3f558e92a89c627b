use std::time::Duration;

use ipnet::IpNet;
use platform_config::Http;

/// What one server grants to those who connect.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the request line and all headers; also how long an idle connection is kept.
    pub header_read: Duration,
    /// For the handshake of TLS.
    pub handshake: Duration,
    /// From the complete headers to the start of the answer, the body's arrival included.
    pub request: Duration,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of the request line and all headers.
    pub header_bytes: usize,
    pub headers: usize,
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Connections at once from one address, of IPv6 from one /64; more are
    /// closed at once. 0: as many as there are.
    pub connections_per_address: usize,
    /// From where connections are not counted by address, and `X-Forwarded-For`
    /// says who is asking.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests after which a connection is closed.
    pub requests_per_connection: u64,
    /// Age at which a connection is closed, after the answers under way.
    pub connection_age: Duration,
    /// Bytes a second that a body has to arrive with on average, beyond the
    /// grace. 0: as slowly as it likes.
    pub body_bytes_per_second: u64,
    pub body_grace: Duration,
    /// How long a client may leave an answer unread.
    pub write_stall: Duration,
    /// HTTP/2: requests at once on one connection.
    pub streams: u32,
    /// HTTP/2: streams opened and reset that wait to be noticed.
    pub pending_resets: usize,
    /// How long requests are still taken after shutdown was asked for, each
    /// answer closing its connection.
    pub drain_notice: Duration,
    /// How long answers under way may then take.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(30),
            body_bytes: 1 << 20,
            header_bytes: 64 << 10,
            headers: 100,
            connections: 10_000,
            connections_per_address: 0,
            trusted_proxies: Vec::new(),
            requests_per_connection: 100_000,
            connection_age: Duration::from_secs(3_600),
            body_bytes_per_second: 256,
            body_grace: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
            streams: 128,
            pending_resets: 20,
            drain_notice: Duration::ZERO,
            drain: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// As the settings say; what depends on the service (the size of bodies,
    /// the time of a request) is at its default.
    pub fn of(settings: &Http) -> Self {
        let millis = Duration::from_millis;
        Self {
            header_read: millis(settings.header_read_timeout_ms),
            handshake: millis(settings.handshake_timeout_ms),
            header_bytes: settings.max_header_bytes,
            headers: settings.max_headers,
            connections: settings.max_connections,
            connections_per_address: settings.max_connections_per_address,
            requests_per_connection: settings.max_requests_per_connection,
            connection_age: Duration::from_secs(settings.max_connection_age_s),
            body_bytes_per_second: settings.min_body_bytes_per_s,
            body_grace: millis(settings.body_grace_ms),
            write_stall: millis(settings.write_timeout_ms),
            streams: settings.http2_max_concurrent_streams,
            pending_resets: settings.http2_max_pending_resets,
            drain_notice: millis(settings.drain_notice_ms),
            drain: millis(settings.drain_timeout_ms),
            ..Self::default()
        }
    }
}
