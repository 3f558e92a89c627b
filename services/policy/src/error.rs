/// Why the policy service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the policy service cannot listen")]
    Http(#[from] platform_http::Error),
    #[error("the policy service's log settings do not fit")]
    Log(#[source] platform_log::Error),
}
