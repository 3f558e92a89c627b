/// Why federation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("federation cannot serve")]
    Http(#[from] platform_http::Error),
    #[error("federation cannot use the log")]
    Log(#[from] platform_log::Error),
    #[error("federation cannot use postgres")]
    Postgres(#[from] platform_postgres::Error),
    #[error("federation cannot use redis")]
    Redis(#[from] platform_redis::Error),
    #[error("federation cannot decide")]
    Runner(#[from] platform_projector::Error),
}

/// Why a delivery cannot become a context, however often it is tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the body cannot be read: {0}")]
    NotJson(String),
    #[error("the body has nothing at {pointer}, where its source keeps the content")]
    NoContent { pointer: String },
}
