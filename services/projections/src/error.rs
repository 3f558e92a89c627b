/// Why the read models cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log cannot be reached with these settings")]
    Log(#[from] platform_log::Error),
    #[error("postgres cannot be reached with these settings")]
    Postgres(#[from] platform_postgres::Error),
    #[error("redis cannot be reached with these settings")]
    Redis(#[from] platform_redis::Error),
    #[error("read model {name} cannot go on")]
    Runner {
        name: &'static str,
        #[source]
        source: platform_projector::Error,
    },
    #[error("read model {name} ended by itself")]
    Ended { name: &'static str },
    #[error("a read model panicked")]
    Panicked(#[source] tokio::task::JoinError),
}
