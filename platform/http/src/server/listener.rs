use std::net::SocketAddr;
use std::time::Duration;

use platform_config::{ListenerTls, Settings};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

use crate::tls::ServerTls;
use crate::{Error, Readiness};

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1_024;

/// A bound port, and TLS on it where that is set.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    pub(super) tls: Option<ServerTls>,
    /// Whether another process may listen at the same address.
    pub(super) shared: bool,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            tls: None,
            shared: false,
        }
    }
}

/// Listens on `address`, in plain HTTP.
///
/// # Errors
/// When that is not possible; the error names the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Bind { address, source })
}

/// Listens on `address` as the settings say. With a certificate, the listener
/// is part of the readiness: it is not ready once the certificate has expired.
///
/// # Errors
/// When the address is taken or a certificate file cannot be used.
pub fn listen(
    name: &'static str,
    address: SocketAddr,
    tls: &ListenerTls,
    settings: &Settings,
    readiness: &Readiness,
) -> Result<Listener, Error> {
    let reload = Duration::from_millis(settings.tls.reload_interval_ms);
    let shared = settings.http.reuse_port;
    Ok(Listener {
        tcp: socket(address, shared).map_err(|source| Error::Bind { address, source })?,
        tls: ServerTls::new(name, tls, reload, readiness)?,
        shared,
    })
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    pub(super) async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        self.tcp.accept().await
    }

    /// From here on the kernel completes the connections that have begun and
    /// begins no new one here. Closing a socket resets what waits in its queue,
    /// so the queue has to be emptied first, and must not fill again meanwhile:
    /// a connection whose first packet is dropped is tried again by the client's
    /// kernel, a second later, when only the next process listens.
    pub(super) fn begin_no_more(&self) {
        // Of a TCP header, drop what has SYN set (byte 13, bit 1), take the rest.
        let program = [
            SockFilter::new(0x30, 0, 0, 13),
            SockFilter::new(0x45, 0, 1, 0x02),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ];
        if let Err(error) = SockRef::from(&self.tcp).attach_filter(&program) {
            warn!(error = %error, "connections that begin now may be reset: the kernel takes no filter");
        }
    }
}
