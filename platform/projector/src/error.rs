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
    /// Something is away that any record would need: the runner waits for it
    /// without end, and tries again from its checkpoint.
    #[error("failed for now")]
    Transient(#[source] Box<dyn StdError + Send + Sync>),
    /// Nothing is away, and yet this one fails; another try may succeed. It is
    /// tried a few times with growing pauses (`dead_letters.attempts`), in which
    /// only its partition waits, and then becomes a dead letter.
    #[error("fails by itself")]
    Suspect(#[source] Box<dyn StdError + Send + Sync>),
    /// Fails however often it is tried: the record becomes a dead letter.
    #[error("can never succeed")]
    Poison(#[source] Box<dyn StdError + Send + Sync>),
}

impl Failure {
    pub fn transient(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Transient(error.into())
    }

    pub fn suspect(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Suspect(error.into())
    }

    pub fn poison(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Poison(error.into())
    }

    /// Whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::Suspect(_))
    }
}

impl From<platform_log::DecodeError> for Failure {
    fn from(error: platform_log::DecodeError) -> Self {
        if error.is_transient() {
            Self::transient(error)
        } else if error.lacks_schema() {
            Self::suspect(error)
        } else {
            Self::poison(error)
        }
    }
}

impl From<platform_postgres::Error> for Failure {
    fn from(error: platform_postgres::Error) -> Self {
        if error.is_data_error() {
            Self::poison(error)
        } else if error.is_refusal() {
            Self::suspect(error)
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
    causes(error).join(": ")
}

/// An error and its causes, the outermost first.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}
