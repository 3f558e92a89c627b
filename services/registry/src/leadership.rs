//! One registry writes at a time: whoever holds a session lock in Postgres.
//!
//! The lock keeps writers from getting in each other's way; it is not what
//! makes them safe. A writer that lost its session without noticing yet can
//! still append, and then the first event at a version wins.

use std::time::Duration;

use platform_http::Component;
use platform_postgres::Pool;
use projections_registry_view::RegistryView;
use tokio::sync::watch;
use tracing::{info, warn};

const TRY_EVERY: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A session that does not answer for so long counts as lost.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Whether this process may write, for those who ask.
pub(crate) type Leading = watch::Receiver<bool>;

pub(crate) struct Candidate {
    pub(crate) pool: Pool,
    pub(crate) view: RegistryView,
    /// Tells apart the stacks that share a database.
    pub(crate) scope: String,
    pub(crate) component: Component,
    pub(crate) leading: watch::Sender<bool>,
}

impl Candidate {
    /// Leads whenever possible, for ever.
    pub(crate) async fn run(self) {
        loop {
            if let Err(error) = self.lead().await {
                warn!(error = %error, cause = ?error, "registry leadership lost or not to be had");
            }
            self.leading.send_replace(false);
            metrics::gauge!("agentmesh_registry_leader").set(0.0);
            self.component.not_ready("waiting for leadership");
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Takes the lock and holds it until the session is lost, which is an error.
    async fn lead(&self) -> Result<(), platform_postgres::Error> {
        let session = self.pool.get_detached().await?;
        let name = format!("agentmesh/registry/{}", self.scope);
        loop {
            let row = session
                .query_one(
                    "SELECT pg_try_advisory_lock(hashtextextended($1, 0))",
                    &[&name],
                )
                .await?;
            if row.try_get(0)? {
                break;
            }
            self.component.not_ready("another registry leads");
            tokio::time::sleep(TRY_EVERY).await;
        }
        // What the one before has appended comes first.
        self.component.not_ready("reading what was registered");
        self.view.caught_up().await;
        self.view.read_to_end().await;
        loop {
            match tokio::time::timeout(PROBE_LIMIT, session.simple_query("SELECT 1")).await {
                Ok(answer) => {
                    answer?;
                }
                Err(_) => {
                    warn!("registry leadership given up: the session does not answer");
                    return Ok(());
                }
            }
            if !self.leading.send_replace(true) {
                info!("registry leads");
                metrics::gauge!("agentmesh_registry_leader").set(1.0);
            }
            if self.view.is_connected() {
                self.component.ready();
            } else {
                self.component.not_ready("the log is away");
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }
}
