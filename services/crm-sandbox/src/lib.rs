//! A CRM to write to on a laptop and in tests: HubSpot's CRM objects and
//! properties API, version 3, as far as creating, reading, changing, searching
//! and archiving records goes. Its state is on disk and survives a kill.
//!
//! It refuses what HubSpot refuses: unknown properties, a second record with
//! the same unique value, addressing by a property that is not unique.

mod api;
mod error;
mod journal;
mod model;
mod store;

use std::sync::Arc;

use platform_config::Settings;
use platform_http::{Limits, Readiness};
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use store::Store;

/// Serves the sandbox at `settings.crm_sandbox.listen` until `shutdown`.
///
/// # Errors
/// When the port is taken or the data directory cannot be read or written.
pub async fn run(
    settings: Arc<Settings>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let component = readiness.component("crm-sandbox");
    let store = Store::open(&settings.crm_sandbox.data_dir)?;
    let listener = platform_http::listen(
        "crm-sandbox",
        settings.crm_sandbox.listen,
        &settings.crm_sandbox.tls,
        &settings,
        &readiness,
    )?;
    tracing::info!(
        crm.records = store.len(),
        server.address = %settings.crm_sandbox.listen,
        "crm sandbox is up"
    );
    component.ready();
    let router = api::router(store, settings.crm_sandbox.access_token.expose());
    let limits = Limits::of(&settings.http);
    platform_http::serve("crm-sandbox", listener, router, limits, shutdown).await?;
    Ok(())
}
