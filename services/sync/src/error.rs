/// Why the sync role cannot start, or one of its connectors be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log failed")]
    Log(#[from] platform_log::Error),
    #[error("postgres failed")]
    Postgres(#[from] platform_postgres::Error),
    #[error("the executor failed")]
    Runner(#[from] platform_projector::Error),
    #[error("no HTTP client can be made")]
    Http(#[from] platform_http::Error),
    #[error("connector {connector} may not be called")]
    NotPermitted {
        connector: String,
        #[source]
        source: platform_http::NotPermitted,
    },
    #[error("the base of connector {connector} is no address")]
    NoAddress { connector: String },
    #[error("a credential cannot be opened")]
    Vault(#[from] platform_vault::Error),
    #[error("connector {connector} is of an unknown system: {system}")]
    UnknownSystem { connector: String, system: String },
}
