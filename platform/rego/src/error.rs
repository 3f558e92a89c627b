/// Why a bundle does not compile or a question has no answer. Each of these
/// means deny.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("module {module} is not valid Rego: {reason}")]
    Module { module: String, reason: String },
    #[error("two modules are named {module}")]
    DuplicateModule { module: String },
    #[error("the data of a bundle must be a JSON object: {reason}")]
    Data { reason: String },
    #[error("the modules do not fit together: {reason}")]
    Bundle { reason: String },
    #[error("{path:?} is not a path such as mesh/ingest")]
    Path { path: String },
    #[error("the input does not convert: {reason}")]
    Input { reason: String },
    #[error("evaluating {path} failed: {reason}")]
    Evaluation { path: String, reason: String },
}
