/// Why the registry service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the registry cannot listen")]
    Http(#[from] platform_http::Error),
    #[error("the vault cannot be opened")]
    Vault(#[source] platform_vault::Error),
    #[error("the registry's Postgres settings do not fit")]
    Postgres(#[source] platform_postgres::Error),
    #[error("the registry's log settings do not fit")]
    Log(#[source] platform_log::Error),
}
