use std::path::PathBuf;

use fred::error::ErrorKind;

/// Why Redis did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL in `redis.url` is not one.
    #[error("redis.url is not a redis URL")]
    Url(#[source] fred::error::Error),
    /// The file in `redis.authorities` holds no certificates.
    #[error("redis.authorities ({path}) cannot be used: {reason}")]
    Authorities { path: PathBuf, reason: String },
    /// There is no connection now; the client is trying to get one.
    #[error("redis is unavailable")]
    Unavailable(#[source] fred::error::Error),
    /// The call took longer than [`crate::DEADLINE`]. It may still have been done.
    #[error("redis did not answer in time")]
    Deadline(#[source] fred::error::Error),
    /// Redis answered, and the answer was an error or of another type.
    #[error("redis refused the command")]
    Refused(#[source] fred::error::Error),
}

impl Error {
    /// Whether the same call may succeed later without anyone changing it.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Deadline(_))
    }
}

impl From<fred::error::Error> for Error {
    fn from(error: fred::error::Error) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::Deadline(error),
            ErrorKind::IO
            | ErrorKind::Canceled
            | ErrorKind::Routing
            | ErrorKind::Backpressure
            | ErrorKind::Cluster
            | ErrorKind::Tls => Self::Unavailable(error),
            // What a server says while it loads its file or fails over.
            _ if ["LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN"]
                .iter()
                .any(|state| error.details().starts_with(state)) =>
            {
                Self::Unavailable(error)
            }
            _ => Self::Refused(error),
        }
    }
}
