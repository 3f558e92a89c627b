/// Why the view cannot follow the registry any longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the registry topic cannot be opened")]
    Open(#[source] platform_log::Error),
    #[error("the registry topic cannot be read")]
    Read(#[source] platform_log::Error),
    #[error("the view has stopped")]
    Stopped,
}
