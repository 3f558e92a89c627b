/// Why the agent servers cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("agent servers cannot be served")]
    Http(#[source] platform_http::Error),
    #[error("{key} is needed when {because} is set")]
    MissingSetting {
        key: &'static str,
        because: &'static str,
    },
}
