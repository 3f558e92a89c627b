use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

use crate::Error;

/// A connection lent by the pool; given back when dropped.
pub type Client = deadpool_postgres::Client;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged before a connection counts as lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the server lets a transaction stand in which nothing is asked of it.
/// A process that was stopped, or a machine that went away, in the middle of one
/// would else hold the rows of its checkpoints for as long as its connection
/// lives, and whoever takes over its partitions would wait for that. Nobody
/// waits for anything but Postgres while a transaction is open.
const IDLE_IN_TRANSACTION: &str = "-c idle_in_transaction_session_timeout=15s";

/// A pool of connections. Cheap to clone; connects when first asked.
#[derive(Clone)]
pub struct Pool {
    inner: deadpool_postgres::Pool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.inner.status();
        f.debug_struct("Pool")
            .field("size", &status.size)
            .field("available", &status.available)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Builds the pool. Nothing is connected yet, so a server that is down is
    /// noticed by `get`, which callers retry.
    ///
    /// # Errors
    /// When the URL does not parse.
    pub fn connect(settings: &platform_config::Postgres) -> Result<Self, Error> {
        let mut config: tokio_postgres::Config = settings.url.parse().map_err(Error::Url)?;
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
        config.keepalives_idle(Duration::from_secs(10));
        let options = match config.get_options() {
            // What the address says comes last and so has the last word.
            Some(given) => format!("{IDLE_IN_TRANSACTION} {given}"),
            None => IDLE_IN_TRANSACTION.to_owned(),
        };
        config.options(options);
        if config.get_application_name().is_none() {
            config.application_name("agentmesh");
        }
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let inner = deadpool_postgres::Pool::builder(manager)
            .max_size(settings.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(Error::Build)?;
        Ok(Self { inner })
    }

    /// A connection.
    ///
    /// # Errors
    /// When none becomes free or the server is not reachable within seconds.
    pub async fn get(&self) -> Result<Client, Error> {
        self.inner.get().await.map_err(Error::Unavailable)
    }

    /// A connection that leaves the pool and closes when dropped: for session
    /// settings and session locks, which must not leak to the next borrower.
    ///
    /// # Errors
    /// As for `get`.
    pub async fn get_detached(&self) -> Result<deadpool_postgres::ClientWrapper, Error> {
        Ok(deadpool_postgres::Object::take(self.get().await?))
    }

    /// Closes idle connections and refuses new ones.
    pub fn close(&self) {
        self.inner.close();
    }
}
