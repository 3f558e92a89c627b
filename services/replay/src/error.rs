/// Why a read model could not be rebuilt or compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no read model named {name}; there are: {known}")]
    UnknownReadModel { name: String, known: String },
    #[error("nothing called {shadow} is kept beside {name}")]
    UnknownShadow { name: &'static str, shadow: String },
    #[error("{0}")]
    ShadowName(String),
    #[error("the log cannot be reached with these settings")]
    Log(#[from] platform_log::Error),
    #[error("postgres cannot be reached with these settings")]
    Postgres(#[from] platform_postgres::Error),
    #[error("redis cannot be reached with these settings")]
    Redis(#[from] platform_redis::Error),
    #[error("secrets cannot be opened")]
    Vault(#[from] platform_vault::Error),
    #[error("a record cannot be read just now")]
    Record(#[from] platform_log::DecodeError),
    #[error("read model {name} failed")]
    ReadModel {
        name: &'static str,
        #[source]
        source: Box<platform_projector::Error>,
    },
    #[error("{from} does not hold what `replay digest --json` writes")]
    Unreadable {
        from: String,
        #[source]
        source: serde_json::Error,
    },
}
