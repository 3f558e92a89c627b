/// Why the workflow role cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log cannot be used")]
    Log(#[source] platform_log::Error),
    #[error("postgres cannot be used")]
    Postgres(#[source] platform_postgres::Error),
    #[error("the runner stopped")]
    Runner(#[source] platform_projector::Error),
}
