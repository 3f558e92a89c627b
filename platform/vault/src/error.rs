use std::path::PathBuf;

/// Why the vault has no key, or a text could not be sealed or opened. None of
/// these carries key material or plaintext.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no vault key: set secrets.key (base64 of 32 bytes) or secrets.key_file, or create {path}"
    )]
    NoKey { path: PathBuf },
    #[error("the vault key from {origin} is not the base64 of 32 bytes")]
    BadKey { origin: String },
    #[error("the vault key file {path} cannot be read")]
    ReadKey {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the vault key file {path} cannot be created")]
    CreateKey {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the secret of {context} could not be sealed")]
    Seal { context: String },
    #[error(
        "the sealed secret of {context} does not open: another key, another context, or altered"
    )]
    Open { context: String },
}
