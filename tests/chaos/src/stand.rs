use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use platform_config::Settings;
use platform_http::ClientOptions;
use platform_testkit::{
    Durability, Given, Identity, Ports, Signal, Stack, StackOptions, TestBed, default_libs_dir,
    eventually, workspace_dir,
};
use tests_kit::{Mesh, Observer, Sender};
use tokio::sync::Mutex;

use crate::disk::{Disk, unmount_below, usage};
use crate::scene::RECOVERY;
use crate::{Conditions, Dice, Proxy};

pub(crate) const BROKERS: [&str; 3] = ["kafka", "kafka-2", "kafka-3"];

/// How long a server may take to be back.
const BACK: Duration = Duration::from_secs(600);
/// How long a sender waits for an answer before it repeats.
const SENDER_PATIENCE: Duration = Duration::from_secs(4);

/// Disks that can be filled.
#[derive(Debug)]
pub struct Disks {
    pub brokers: Vec<Disk>,
    pub postgres: Disk,
    pub vectors: Disk,
}

/// Servers of its own, a proxy before each, and a mesh on them of one process a
/// role. Three brokers keep each record twice before it is acknowledged.
#[derive(Debug)]
pub struct Stand {
    // In this order: roles end before their servers, servers before their disks.
    pub mesh: Mesh,
    stack: Mutex<Stack>,
    pub front: Proxy,
    pub kafka: Vec<Proxy>,
    pub postgres: Proxy,
    pub redis: Proxy,
    pub schema_registry: Proxy,
    pub crm: Proxy,
    /// Or why there are none.
    pub disks: Result<Disks, String>,
    direct: Settings,
    dir: Dir,
}

impl Stand {
    /// Starts all of it and registers the sample.
    ///
    /// # Errors
    /// When a server or a role does not come up.
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        let mut dir = Dir::make().await?;
        let data_dir = dir.servers.join("stack");
        let disks = mount_servers(&data_dir);
        let proxy = |name: &str| Proxy::bind(Dice::of(seed, name));
        let mut kafka = Vec::new();
        for name in BROKERS {
            kafka.push(proxy(name).await?);
        }
        let (front, postgres, redis) =
            tokio::try_join!(proxy("front"), proxy("postgres"), proxy("redis"))?;
        let (schema_registry, crm) = tokio::try_join!(proxy("schema-registry"), proxy("crm"))?;

        let options = StackOptions {
            ports: Ports::Free,
            // Disks are mounted in it, so it is cleared away in another way.
            keep: true,
            // Servers are killed here, so they keep what they acknowledge.
            durability: Durability::Full,
            kafka_nodes: BROKERS.len(),
            kafka_advertised: kafka.iter().map(|one| one.address().port()).collect(),
            given: Given::default(),
            start_timeout: BACK,
            ..StackOptions::new(&data_dir, default_libs_dir(&workspace_dir()))
        };
        let stack = Stack::start(options)
            .await
            .context("the servers cannot be started")?;
        for status in stack.status() {
            let target = SocketAddr::from(([127, 0, 0, 1], status.port));
            let node = BROKERS.iter().position(|name| *name == status.name);
            let proxy = match (node, status.name) {
                (Some(node), _) => &kafka[node],
                (None, "postgres") => &postgres,
                (None, "redis") => &redis,
                (None, _) => &schema_registry,
            };
            proxy.stand_before(target);
        }

        let mut bed = TestBed::on(stack.endpoints(), "chaos").await?;
        adjust(&mut bed.settings);
        dir.mesh = Some(bed.dir().to_owned());
        let direct = bed.settings.clone();
        bed.settings.postgres.url = through(&bed.settings.postgres.url, &postgres)?;
        bed.settings.redis.url = through(&bed.settings.redis.url, &redis)?;
        bed.settings.schema_registry.url =
            through(&bed.settings.schema_registry.url, &schema_registry)?;
        front.stand_before(bed.settings.gateway.listen);
        crm.stand_before(bed.settings.crm_sandbox.listen);
        let disks = disks.and_then(|(brokers, on_postgres)| {
            let vectors = bed.settings.data_dir.join("vectors");
            // For the index of half an hour, and another beside it while it is rebuilt.
            let vectors = Disk::mount(&vectors, 256).map_err(|error| error.to_string())?;
            Ok(Disks {
                brokers,
                postgres: on_postgres,
                vectors,
            })
        });
        let mesh = Mesh::start_on(bed).await?;
        let registrar = mesh.registrar()?;
        registrar
            .patient_sample(&format!("http://{}", crm.address()))
            .await?;
        Ok(Self {
            mesh,
            stack: Mutex::new(stack),
            front,
            kafka,
            postgres,
            redis,
            schema_registry,
            crm,
            disks,
            direct,
            dir,
        })
    }

    /// Puts the logs of servers and roles into `to`, and how full the disks are.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn keep_logs(&self, to: &Path) -> anyhow::Result<()> {
        self.dir.keep_logs(to)
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When a server outlives even SIGKILL.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { mesh, stack, .. } = self;
        drop(mesh);
        Ok(stack.into_inner().stop().await?)
    }

    /// A sender before the gateway, with the proxy in between.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn sender(&self) -> anyhow::Result<Sender> {
        let base = format!("http://{}", self.front.address());
        Sender::to(&base, ClientOptions::with_timeout(SENDER_PATIENCE))
    }

    /// Eyes that no proxy stands before, but for the one before Kafka.
    ///
    /// # Errors
    /// When a server cannot be reached.
    pub async fn observer(&self) -> anyhow::Result<Observer> {
        Observer::new(&self.direct).await
    }

    /// The settings without proxies, but for the one before Kafka.
    pub fn direct(&self) -> &Settings {
        &self.direct
    }

    pub fn conditions_of_kafka(&self, conditions: &Conditions) {
        for proxy in &self.kafka {
            proxy.set(conditions.clone());
        }
    }

    /// Makes the network whole.
    pub fn mend(&self) {
        let others = [
            &self.front,
            &self.postgres,
            &self.redis,
            &self.schema_registry,
            &self.crm,
        ];
        for proxy in self.kafka.iter().chain(others) {
            proxy.forget_traps();
            proxy.mend();
        }
    }

    /// # Errors
    /// When there is no such server.
    pub async fn kill(&self, server: &str) -> anyhow::Result<()> {
        Ok(self.stack.lock().await.kill_server(server).await?)
    }

    /// # Errors
    /// When there is no such server, or it does not end.
    pub async fn stop_server(&self, server: &str) -> anyhow::Result<()> {
        Ok(self.stack.lock().await.stop_server(server).await?)
    }

    /// Starts a server again, as whoever watches over it does: until it is there.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start_server(&self, server: &str) -> anyhow::Result<()> {
        self.start_servers(&[server]).await
    }

    /// The same of several at once.
    ///
    /// # Errors
    /// When one does not come up in time.
    pub async fn start_servers(&self, servers: &[&str]) -> anyhow::Result<()> {
        let mut stack = self.stack.lock().await;
        let begun = std::time::Instant::now();
        let mut missing = servers.to_vec();
        loop {
            match stack.start_servers(&missing).await {
                Ok(()) => return Ok(()),
                // Postgres waits until the last process of its former life is gone.
                Err(_) if begun.elapsed() < BACK => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    missing.retain(|name| !stack.process(name).is_some_and(Identity::is_alive));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Starts a standby of Postgres that follows it; answers where.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_standby(&self) -> anyhow::Result<SocketAddr> {
        let port = self.stack.lock().await.start_standby().await?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Has the standby take over from a Postgres that is gone.
    ///
    /// # Errors
    /// When it does not.
    pub async fn promote_standby(&self) -> anyhow::Result<()> {
        Ok(self.stack.lock().await.promote_standby().await?)
    }

    /// Lets Postgres go on in its old place with what the standby held.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn adopt_standby(&self) -> anyhow::Result<()> {
        Ok(self.stack.lock().await.adopt_standby().await?)
    }

    pub async fn runs(&self, server: &str) -> bool {
        let stack = self.stack.lock().await;
        stack.process(server).is_some_and(|one| one.is_alive())
    }

    /// The process of a server, to be signalled from within a trap.
    ///
    /// # Errors
    /// When there is no such server.
    pub async fn killer(&self, server: &str) -> anyhow::Result<impl Fn() + Send + Sync + 'static> {
        let stack = self.stack.lock().await;
        let identity = stack.process(server).context("no such server")?.clone();
        Ok(move || {
            let _ = identity.signal(Signal::KILL);
        })
    }

    /// The same of a role.
    ///
    /// # Errors
    /// When the role does not run.
    pub fn role_killer(&self, role: &str) -> anyhow::Result<impl Fn() + Send + Sync + 'static> {
        let identity = self.mesh.identity(role)?;
        Ok(move || {
            let _ = identity.signal(Signal::KILL);
        })
    }

    /// Kills a role and starts it again.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn kill_role(&self, role: &'static str) -> anyhow::Result<()> {
        self.mesh.kill(role)?;
        self.mesh.start_roles(&[role]).await
    }

    /// Waits until a role has ended by itself, or by a trap, and starts it again.
    ///
    /// # Errors
    /// When it does not end, or does not come up.
    pub async fn revive(&self, role: &'static str) -> anyhow::Result<()> {
        eventually(RECOVERY, || async { !self.mesh.runs(role) })
            .await
            .with_context(|| format!("{role} was to be killed"))?;
        let _ = self.mesh.kill(role);
        self.mesh.start_roles(&[role]).await
    }
}

fn adjust(settings: &mut Settings) {
    let kafka = &mut settings.kafka;
    kafka.replication = 3;
    kafka.min_insync_replicas = 2;
    // How long a dead or silent member keeps its partitions.
    kafka.session_timeout_ms = 4_000;
    kafka.max_poll_interval_ms = 12_000;
    // What the gateway cannot append in this time it answers 503.
    kafka.message_timeout_ms = 3_000;
    // Of this follows for how long a delivery counts as in hand at a gateway
    // that died, and is answered 409: 2 × 4 s + 5 s.
    settings.gateway.request_timeout_ms = 4_000;
    settings.gateway.invoke_wait_ms = 5_000;
    settings.schema_registry.timeout_ms = 15_000;
    // An id that the registry does not know is given up after this.
    settings.dead_letters.schema_wait_ms = 1_000;
    settings.dead_letters.attempts = 3;
}

/// The address with the proxy in place of the server.
fn through(url: &str, proxy: &Proxy) -> anyhow::Result<String> {
    let start = url.find("://").context("no scheme")? + 3;
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    let host = url[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    Ok(format!(
        "{}{}{}",
        &url[..host],
        proxy.address(),
        &url[end..]
    ))
}

/// Small disks for the servers that are to run out of room.
fn mount_servers(data_dir: &Path) -> Result<(Vec<Disk>, Disk), String> {
    let mount = |name: &str, mebibytes| {
        Disk::mount(&data_dir.join(name), mebibytes).map_err(|error| error.to_string())
    };
    let mut brokers = Vec::new();
    for name in BROKERS {
        brokers.push(mount(name, 1024)?);
    }
    // Its log of changes alone may take a gigabyte before a checkpoint shortens it.
    Ok((brokers, mount("postgres", 3072)?))
}

/// Where the servers live: a place that Postgres' own user may enter. What a
/// run that was killed left behind is cleared away first.
#[derive(Debug)]
struct Dir {
    servers: PathBuf,
    /// Of the mesh; a disk is mounted in it.
    mesh: Option<PathBuf>,
}

const DIR: &str = "agentmesh-chaos-";

impl Dir {
    async fn make() -> anyhow::Result<Self> {
        let base = std::env::temp_dir();
        for entry in std::fs::read_dir(&base)?.flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix(DIR));
            if let Some(owner) = owner.and_then(|owner| owner.parse::<i32>().ok())
                && platform_testkit::Identity::of(owner).is_none()
            {
                if let Ok(Some(stack)) = Stack::attach(&entry.path().join("stack")).await {
                    stack.stop().await?;
                }
                clear_away(&entry.path());
            }
        }
        let servers = base.join(format!("{DIR}{}", std::process::id()));
        std::fs::create_dir_all(&servers)?;
        std::fs::set_permissions(&servers, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            servers,
            mesh: None,
        })
    }
}

impl Dir {
    fn keep_logs(&self, to: &Path) -> anyhow::Result<()> {
        if to.exists() {
            std::fs::remove_dir_all(to)?;
        }
        std::fs::create_dir_all(to)?;
        let servers = self.servers.join("stack").join("logs");
        for dir in [Some(servers.as_path()), self.mesh.as_deref()] {
            let Some(dir) = dir else { continue };
            for entry in std::fs::read_dir(dir)? {
                let file = entry?.path();
                if file.extension().is_some_and(|ending| ending == "log")
                    && let Some(name) = file.file_name()
                {
                    std::fs::copy(&file, to.join(name))?;
                }
            }
        }
        std::fs::write(to.join("disks.txt"), usage()?)?;
        Ok(())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        clear_away(&self.servers);
        if let Some(mesh) = &self.mesh {
            clear_away(mesh);
        }
    }
}

fn clear_away(dir: &Path) {
    unmount_below(dir);
    let _ = std::fs::remove_dir_all(dir);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn the_host_of_an_address_is_exchanged() {
        let proxy = Proxy::bind(Dice::new(1)).await.unwrap();
        let at = proxy.address();
        for (url, expected) in [
            ("postgres://a@h:1/db", format!("postgres://a@{at}/db")),
            ("redis://127.0.0.1:6379", format!("redis://{at}")),
            ("http://h:8081/apis/v7", format!("http://{at}/apis/v7")),
        ] {
            assert_eq!(through(url, &proxy).unwrap(), expected);
        }
    }
}
