/// Why a read model could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no connection to the read model")]
    Pool(#[source] platform_postgres::Error),
    #[error("the read model does not answer")]
    Query(#[from] platform_postgres::tokio_postgres::Error),
}
