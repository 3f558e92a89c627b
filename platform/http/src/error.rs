use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
    #[error("{path} cannot be used: {reason}")]
    Unusable { path: PathBuf, reason: String },
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Error {
    pub(crate) fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
