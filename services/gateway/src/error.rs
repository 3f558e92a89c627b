/// Why the gateway cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the gateway cannot serve")]
    Http(#[from] platform_http::Error),
    #[error("the gateway cannot open secrets")]
    Vault(#[from] platform_vault::Error),
    #[error("the gateway cannot use the log")]
    Log(#[from] platform_log::Error),
    #[error("the gateway cannot use postgres")]
    Postgres(#[from] platform_postgres::Error),
    #[error("the gateway cannot use redis")]
    Redis(#[from] platform_redis::Error),
}
