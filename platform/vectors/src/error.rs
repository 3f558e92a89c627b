use std::path::PathBuf;

/// Why an index could not be read, written or searched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a vector of {given} dimensions does not fit an index of {expected}")]
    Dimensions { expected: usize, given: usize },
    #[error("a vector without direction cannot be indexed")]
    NoDirection,
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is there and is not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: &'static str },
    #[error("the index failed to {action}: {message}")]
    Graph {
        action: &'static str,
        message: String,
    },
}

impl Error {
    /// Whether there is no file at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}
