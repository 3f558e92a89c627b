//! One server of a stack: signalled, ended, started again over its data.

use std::path::PathBuf;

use futures::future::join_all;

use super::{Launched, Stack};
use crate::Error;
use crate::process::Identity;
use crate::server::{Server, kafka, postgres, redis, schema_registry};

impl Stack {
    /// The process of a server, to be signalled.
    pub fn process(&self, name: &str) -> Option<&Identity> {
        let server = self.servers.iter().find(|server| server.name == name)?;
        Some(&server.identity)
    }

    /// Where a server of its own keeps its data, if it has it in the directory.
    pub fn server_dir(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }

    /// Ends one server as a power cut would, for tests.
    ///
    /// # Errors
    /// When there is no such server, or not even SIGKILL helps.
    pub async fn kill_server(&mut self, name: &str) -> Result<(), Error> {
        let server = self.server(name)?;
        let pid = server.identity.pid;
        server.kill().await.map_err(|source| Error::Stop {
            server: name.to_owned(),
            pid,
            source,
        })
    }

    /// Ends one server in the way that lets it finish its writes, for tests.
    ///
    /// # Errors
    /// When there is no such server, or it outlives even SIGKILL.
    pub async fn stop_server(&mut self, name: &str) -> Result<(), Error> {
        self.server(name)?.stop().await
    }

    /// Starts servers again over their data, on their ports, all at once: of
    /// brokers that form a quorum one may wait for the other.
    ///
    /// # Errors
    /// When there is no such server, this process did not start the stack, or
    /// a server does not come up.
    pub async fn start_servers(&mut self, names: &[&str]) -> Result<(), Error> {
        let mut places = Vec::new();
        for name in names {
            let at = self.servers.iter().position(|server| server.name == *name);
            let at = at.ok_or_else(|| unknown(name))?;
            // As long as nobody asked how it ended, its number is taken, and Postgres
            // takes it for a server that runs.
            if let Some(child) = &mut self.servers[at].child {
                let _ = child.try_wait();
            }
            places.push(at);
        }
        let launched = join_all(names.iter().map(|name| self.relaunch(name))).await;
        let mut result = Ok(());
        for (at, launched) in places.into_iter().zip(launched) {
            match launched {
                Ok(server) => self.servers[at] = server,
                Err(error) => result = Err(error),
            }
        }
        self.record()?;
        result
    }

    async fn relaunch(&self, name: &str) -> Result<Server, Error> {
        let launched = self.launched.as_ref().ok_or_else(|| unknown(name))?;
        let Launched { site, ports } = launched;
        match name {
            postgres::NAME => postgres::launch(site, ports.postgres).await,
            redis::NAME => redis::launch(site, ports.redis).await,
            schema_registry::NAME => {
                let database = &self.endpoints.database_url;
                schema_registry::launch(site, ports.schema_registry, database).await
            }
            kafka => {
                let number = kafka::NAMES.iter().position(|known| *known == kafka);
                let number = number.ok_or_else(|| unknown(name))?;
                kafka::relaunch(site, &ports.kafka, number).await
            }
        }
    }

    pub(super) fn server(&mut self, name: &str) -> Result<&mut Server, Error> {
        let found = self.servers.iter_mut().find(|server| server.name == name);
        found.ok_or_else(|| unknown(name))
    }
}

fn unknown(server: &str) -> Error {
    Error::UnknownServer {
        server: server.to_owned(),
    }
}
