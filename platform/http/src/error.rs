use std::net::SocketAddr;

/// What keeps a server or a client from being made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("listener of {name} has no local address")]
    Listener {
        name: &'static str,
        #[source]
        source: std::io::Error,
    },
}
