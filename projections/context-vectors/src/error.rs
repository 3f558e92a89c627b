/// Why an index cannot be asked or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the vector index failed")]
    Vectors(#[from] platform_vectors::Error),
    #[error("the log cannot be read")]
    Log(#[from] platform_log::Error),
    #[error("a context on the log cannot be read for now")]
    Decode(#[from] platform_log::DecodeError),
    #[error("the index file's description cannot be written")]
    Describe(#[source] serde_json::Error),
    #[error("{} cannot be removed or listed", path.display())]
    Directory {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}
