//! The servers of one directory together: started, found again and stopped.

mod chosen;
mod one;
mod standby;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::process::Identity;
use crate::server::{self, Server, Site, kafka, postgres, redis, schema_registry};
use crate::state::{ServerState, State};
use crate::{Endpoints, Error, Given, StackOptions};

use chosen::Chosen;

/// Running servers. Dropped without `stop` or `detach` it asks them to end.
#[derive(Debug)]
pub struct Stack {
    data_dir: PathBuf,
    keep: bool,
    endpoints: Endpoints,
    /// In the order they were started. Empty when all servers are given.
    servers: Vec<Server>,
    /// What it was launched with; none when it was found running.
    launched: Option<Launched>,
    detached: bool,
}

#[derive(Debug)]
struct Launched {
    site: Site,
    ports: Chosen,
}

/// What `agentmesh stack status` says of one server.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    pub name: &'static str,
    pub pid: i32,
    pub port: u16,
    pub alive: bool,
    pub log: PathBuf,
}

impl Stack {
    /// Starts what the environment does not give.
    ///
    /// # Errors
    /// When a stack runs in this directory already, something is not
    /// installed, or a server does not come up.
    pub async fn start(options: StackOptions) -> Result<Self, Error> {
        let _lock = lock(&options.data_dir).await?;
        if let Some(running) = Self::find(&options.data_dir).await? {
            let data_dir = running.data_dir.clone();
            running.detach();
            return Err(Error::AlreadyRunning { data_dir });
        }
        Self::launch(options).await
    }

    /// The stack that runs in this directory, if one does. It stays when the
    /// value is dropped; `stop` ends it.
    ///
    /// # Errors
    /// When the state file cannot be read or the remains of a broken stack
    /// cannot be cleared away.
    pub async fn attach(data_dir: &Path) -> Result<Option<Self>, Error> {
        if !data_dir.exists() {
            return Ok(None);
        }
        let _lock = lock(data_dir).await?;
        Self::find(data_dir).await
    }

    /// Attaches to the stack of this directory or starts it. Processes that do
    /// this at the same time end up with the same stack.
    ///
    /// # Errors
    /// As for `attach` and `start`.
    pub async fn ensure(options: StackOptions) -> Result<Self, Error> {
        let _lock = lock(&options.data_dir).await?;
        match Self::find(&options.data_dir).await? {
            Some(stack) if stack.serves(&options.given) => Ok(stack),
            Some(other) => {
                tracing::info!("the running stack stands on other servers, starting it anew");
                other.stop_servers().await?;
                Self::launch(options).await
            }
            None => Self::launch(options).await,
        }
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn status(&self) -> Vec<ServerStatus> {
        self.servers
            .iter()
            .map(|server| ServerStatus {
                name: server.name,
                pid: server.identity.pid,
                port: server.port,
                alive: server.identity.is_alive(),
                log: server.log.clone(),
            })
            .collect()
    }

    /// Leaves the servers running. `attach` finds them again.
    pub fn detach(mut self) -> Endpoints {
        self.detached = true;
        self.endpoints.clone()
    }

    /// Ends the servers, last started first, and removes their data unless it
    /// is to be kept.
    ///
    /// # Errors
    /// When a server outlives even SIGKILL, or its data cannot be removed.
    pub async fn stop(self) -> Result<(), Error> {
        let _lock = lock(&self.data_dir).await?;
        self.stop_servers().await
    }

    async fn stop_servers(mut self) -> Result<(), Error> {
        self.detached = true;
        let mut servers = std::mem::take(&mut self.servers);
        for server in servers.iter_mut().rev() {
            server.stop().await?;
            tracing::info!(server.name = server.name, "server stopped");
        }
        State::remove(&self.data_dir)?;
        if !self.keep {
            remove_data(&self.data_dir)?;
        }
        Ok(())
    }

    fn serves(&self, given: &Given) -> bool {
        let same = |given: &Option<String>, ours: &String| given.as_ref().is_none_or(|g| g == ours);
        same(&given.kafka_brokers, &self.endpoints.kafka_brokers)
            && same(
                &given.schema_registry_url,
                &self.endpoints.schema_registry_url,
            )
            && same(&given.database_url, &self.endpoints.database_url)
            && same(&given.redis_url, &self.endpoints.redis_url)
    }

    /// Reads the state file and holds it against the processes there are.
    async fn find(data_dir: &Path) -> Result<Option<Self>, Error> {
        let Some(state) = State::read(data_dir)? else {
            return Ok(None);
        };
        let data_dir = std::path::absolute(data_dir).map_err(Error::file("find", data_dir))?;
        let mut servers: Vec<Server> = state.servers.into_iter().filter_map(attached).collect();
        if servers.iter().all(|server| server.identity.is_alive()) {
            return Ok(Some(Self {
                data_dir,
                keep: state.keep,
                endpoints: state.endpoints,
                servers,
                launched: None,
                detached: true,
            }));
        }
        tracing::warn!(stack.data_dir = %data_dir.display(), "a stack is only half there, clearing it away");
        for server in servers.iter_mut().rev() {
            server.stop().await?;
        }
        State::remove(&data_dir)?;
        Ok(None)
    }

    async fn launch(options: StackOptions) -> Result<Self, Error> {
        // One that was killed could not take its data with it, and half of it is
        // worse than none.
        if !options.keep {
            remove_data(&options.data_dir)?;
        }
        let site = Site::prepare(&options)?;
        let given = &options.given;
        let ports = Chosen::choose(&options)?;

        // Postgres and then the registry over it, Kafka and Redis: side by side.
        let database = async {
            let mut servers = Vec::new();
            let database_url = match &given.database_url {
                Some(url) => url.clone(),
                None => {
                    servers.push(postgres::launch(&site, ports.postgres).await?);
                    postgres::url(ports.postgres, postgres::USER)
                }
            };
            let registry_url = match &given.schema_registry_url {
                Some(url) => url.clone(),
                None => {
                    let port = ports.schema_registry;
                    match schema_registry::launch(&site, port, &database_url).await {
                        Ok(server) => servers.push(server),
                        Err(error) => return Err(abandon(servers, error).await),
                    }
                    schema_registry::url(port)
                }
            };
            Ok((servers, database_url, registry_url))
        };
        let log = async {
            match &given.kafka_brokers {
                Some(brokers) => Ok((Vec::new(), brokers.clone())),
                None => {
                    let servers = kafka::launch(&site, &ports.kafka).await?;
                    let brokers = ports.kafka.iter();
                    let brokers: Vec<String> = brokers
                        .map(|node| format!("127.0.0.1:{}", node.advertised))
                        .collect();
                    Ok((servers, brokers.join(",")))
                }
            }
        };
        let cache = async {
            match &given.redis_url {
                Some(url) => Ok((None, url.clone())),
                None => {
                    let server = redis::launch(&site, ports.redis).await?;
                    Ok((Some(server), format!("redis://127.0.0.1:{}", ports.redis)))
                }
            }
        };
        let (database, log, cache) = tokio::join!(database, log, cache);

        let mut servers = Vec::new();
        let mut failure = None;
        let mut urls = (String::new(), String::new());
        let mut kafka_brokers = String::new();
        let mut redis_url = String::new();
        match cache {
            Ok((server, url)) => {
                servers.extend(server);
                redis_url = url;
            }
            Err(error) => failure = Some(error),
        }
        match log {
            Ok((started, brokers)) => {
                servers.extend(started);
                kafka_brokers = brokers;
            }
            Err(error) => failure = Some(error),
        }
        match database {
            Ok((started, database_url, registry_url)) => {
                servers.extend(started);
                urls = (database_url, registry_url);
            }
            Err(error) => failure = Some(error),
        }
        if let Some(error) = failure {
            return Err(abandon(servers, error).await);
        }
        let stack = Self {
            data_dir: site.data_dir.clone(),
            keep: options.keep,
            endpoints: Endpoints {
                kafka_brokers,
                schema_registry_url: urls.1,
                database_url: urls.0,
                redis_url,
            },
            servers,
            launched: Some(Launched { site, ports }),
            detached: false,
        };
        stack.record()?;
        Ok(stack)
    }

    fn record(&self) -> Result<(), Error> {
        let servers = self.servers.iter().map(|server| ServerState {
            name: server.name.to_owned(),
            port: server.port,
            identity: server.identity.clone(),
            log: server.log.clone(),
        });
        State {
            endpoints: self.endpoints.clone(),
            keep: self.keep,
            servers: servers.collect(),
        }
        .write(&self.data_dir)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.detached {
            return;
        }
        for server in self.servers.iter().rev() {
            let _ = server.identity.signal(server::stop_signal(server.name));
        }
    }
}

/// Stops what came up before something else failed to.
async fn abandon(mut servers: Vec<Server>, error: Error) -> Error {
    for server in servers.iter_mut().rev() {
        if let Err(error) = server.stop().await {
            tracing::warn!(server.name = server.name, %error, "server could not be stopped");
        }
    }
    error
}

fn attached(state: ServerState) -> Option<Server> {
    let others = [
        schema_registry::NAME,
        postgres::NAME,
        postgres::STANDBY,
        redis::NAME,
    ];
    let mut names = kafka::NAMES.into_iter().chain(others);
    let identity: Identity = state.identity;
    Some(Server {
        name: names.find(|name| *name == state.name)?,
        port: state.port,
        identity,
        log: state.log,
        child: None,
    })
}

fn remove_data(data_dir: &Path) -> Result<(), Error> {
    let outside = postgres::outside_dir(data_dir);
    for dir in [data_dir, &outside] {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("remove", dir)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Starting and stopping the stack of one directory goes in turns. The lock
/// lies beside the directory, which may be removed while it is held.
async fn lock(data_dir: &Path) -> Result<File, Error> {
    let data_dir = std::path::absolute(data_dir).map_err(Error::file("find", data_dir))?;
    if let Some(parent) = data_dir.parent() {
        std::fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
    }
    let mut path = data_dir.into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let blocking = {
        let path = path.clone();
        move || {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        }
    };
    tokio::task::spawn_blocking(blocking)
        .await
        .map_err(std::io::Error::other)
        .and_then(|locked| locked)
        .map_err(Error::file("lock", &path))
}
