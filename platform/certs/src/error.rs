use std::path::PathBuf;

/// What keeps a certificate from being made or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the certificate of {name} cannot be made")]
    Issue {
        name: String,
        #[source]
        source: rcgen::Error,
    },
    #[error("the authority in {path} cannot be used")]
    Authority {
        path: PathBuf,
        #[source]
        source: rcgen::Error,
    },
    #[error("{path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} cannot be written")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no authority in {0}; `agentmesh certs init` makes one")]
    NoAuthority(PathBuf),
    #[error("there is an authority in {0} already; `agentmesh certs rotate --authority` renews it")]
    AuthorityExists(PathBuf),
    #[error("`{0}` is no name for a role: lowercase letters, digits and dashes are")]
    BadRole(String),
}
