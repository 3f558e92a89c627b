use std::error::Error as StdError;

/// Why a runner or a rebuild cannot go on. A running runner only ends with one
/// of these for what no waiting cures, such as a bad setting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log failed")]
    Log(#[from] platform_log::Error),
    #[error("postgres failed")]
    Postgres(#[from] platform_postgres::Error),
    #[error("rebuild of {name} stopped at a failure")]
    Rebuild {
        name: &'static str,
        #[source]
        source: Failure,
    },
    #[error("{name} does not answer for its digest")]
    Digest {
        name: &'static str,
        #[source]
        source: Failure,
    },
}

/// How a step with one record or batch failed, and with it what the runner does.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// May succeed later: the runner waits and tries again from its checkpoint.
    #[error("failed for now")]
    Transient(#[source] Box<dyn StdError + Send + Sync>),
    /// Fails however often it is tried: the record becomes a dead letter.
    #[error("can never succeed")]
    Poison(#[source] Box<dyn StdError + Send + Sync>),
}

impl Failure {
    pub fn transient(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Transient(error.into())
    }

    pub fn poison(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Poison(error.into())
    }

    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl From<platform_log::DecodeError> for Failure {
    fn from(error: platform_log::DecodeError) -> Self {
        if error.is_transient() {
            Self::transient(error)
        } else {
            Self::poison(error)
        }
    }
}

impl From<platform_postgres::Error> for Failure {
    fn from(error: platform_postgres::Error) -> Self {
        if error.is_data_error() {
            Self::poison(error)
        } else {
            Self::transient(error)
        }
    }
}

impl From<platform_postgres::tokio_postgres::Error> for Failure {
    fn from(error: platform_postgres::tokio_postgres::Error) -> Self {
        platform_postgres::Error::from(error).into()
    }
}

/// An error and its causes on one line, for headers and logs.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
