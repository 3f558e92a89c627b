use std::path::PathBuf;

/// Where a setting was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Defaults,
    File(PathBuf),
    /// The name of the environment variable.
    Environment(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Defaults => f.write_str("the built-in defaults"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Why settings could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("configuration file {} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{origin} is not TOML")]
    Syntax {
        origin: Origin,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("there is no setting `{key}` (set in {origin})")]
    UnknownKey { key: String, origin: Origin },
    #[error("setting `{key}` (set in {origin}) must be {expected}")]
    WrongType {
        key: String,
        origin: Origin,
        expected: &'static str,
    },
    #[error("a setting has a bad value")]
    BadValue {
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("setting `{key}` {reason}")]
    Invalid { key: &'static str, reason: String },
}
