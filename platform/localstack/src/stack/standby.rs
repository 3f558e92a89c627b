//! A second Postgres that follows the first and can take over, for tests.

use super::{Launched, Stack};
use crate::ports::free_port;
use crate::server::postgres;
use crate::{Error, sql};

impl Stack {
    /// Starts a standby of Postgres that follows it; answers its port. For tests.
    ///
    /// # Errors
    /// When this process did not start the stack, or the standby does not come up.
    pub async fn start_standby(&mut self) -> Result<u16, Error> {
        let Launched { site, ports } = self.launched.as_ref().ok_or_else(Error::no_standby)?;
        let port = free_port()?;
        let standby = postgres::follow(site, ports.postgres, port).await?;
        self.servers.push(standby);
        self.record()?;
        Ok(port)
    }

    /// Has the standby take over. Whoever its primary is must be gone.
    ///
    /// # Errors
    /// When there is none, or it is not done in a minute.
    pub async fn promote_standby(&mut self) -> Result<(), Error> {
        let url = postgres::url(self.server(postgres::STANDBY)?.port, "postgres");
        let promote = move || sql::execute(&url, "SELECT pg_promote(true, 60)");
        let promoted = tokio::task::spawn_blocking(promote).await;
        promoted.map_err(|_| Error::no_standby())?.map(drop)
    }

    /// Ends the standby and lets Postgres go on, at its own port, with what the
    /// standby held.
    ///
    /// # Errors
    /// When there is none, or Postgres does not come up.
    pub async fn adopt_standby(&mut self) -> Result<(), Error> {
        for name in [postgres::STANDBY, postgres::NAME] {
            self.server(name)?.stop().await?;
        }
        self.servers
            .retain(|server| server.name != postgres::STANDBY);
        let Launched { site, .. } = self.launched.as_ref().ok_or_else(Error::no_standby)?;
        postgres::adopt_standby(site).await?;
        self.start_servers(&[postgres::NAME]).await
    }
}

impl Error {
    fn no_standby() -> Self {
        Self::UnknownServer {
            server: postgres::STANDBY.to_owned(),
        }
    }
}
