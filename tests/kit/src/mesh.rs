use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use platform_config::Settings;
use platform_testkit::{Identity, Proc, TestBed, free_port};

use crate::{Crm, Observer, Registrar, Sender, sender};

/// Every role, those that others ask first.
pub const ROLES: [&str; 10] = [
    "crm-sandbox",
    "agent-servers",
    "registry",
    "policy",
    "projections",
    "federation",
    "sync",
    "agents",
    "workflow",
    "gateway",
];

/// One process a role, on ground of its own, with the sample registered.
/// Dropped, every process is killed.
#[derive(Debug)]
pub struct Mesh {
    // Before the bed, so that they end before their database goes.
    roles: Mutex<BTreeMap<&'static str, Proc>>,
    bed: TestBed,
}

impl Mesh {
    /// Prepares the servers with the commands an operator has, starts all roles
    /// and registers the sample. `adjust` may change settings before that.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn start(name: &str, adjust: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let mut bed = TestBed::new(name).await?;
        adjust(&mut bed.settings);
        let mesh = Self::start_on(bed).await?;
        mesh.registrar()?.sample().await?;
        Ok(mesh)
    }

    /// The same on ground that was prepared, with nothing registered yet.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn start_on(bed: TestBed) -> anyhow::Result<Self> {
        let mesh = Self {
            roles: Mutex::default(),
            bed,
        };
        tokio::try_join!(
            mesh.run(&["topics", "apply"]),
            mesh.run(&["schemas", "register"]),
            mesh.run(&["migrate"]),
        )?;
        mesh.start_roles(&ROLES).await?;
        mesh.crm()?.prepare().await?;
        Ok(mesh)
    }

    pub fn settings(&self) -> &Settings {
        &self.bed.settings
    }

    /// Starts these roles side by side and waits until each is ready.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start_roles(&self, roles: &[&'static str]) -> anyhow::Result<()> {
        let started = roles.iter().map(|role| async move {
            let mut process = Proc::spawn(role, &self.bed.settings)?;
            process.ready().await?;
            anyhow::Ok((*role, process))
        });
        let started = try_join_all(started).await?;
        self.roles().extend(started);
        Ok(())
    }

    /// Ends a role as a power cut would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, role: &str) -> anyhow::Result<()> {
        let process = self.roles().remove(role);
        process
            .with_context(|| format!("role {role} does not run"))?
            .kill()
    }

    /// Whether a role runs, started by this mesh.
    pub fn runs(&self, role: &str) -> bool {
        self.roles().get(role).is_some_and(Proc::is_alive)
    }

    /// The process of a role, to be signalled.
    ///
    /// # Errors
    /// When it does not run.
    pub fn identity(&self, role: &str) -> anyhow::Result<Identity> {
        let roles = self.roles();
        let process = roles.get(role);
        let process = process.with_context(|| format!("role {role} does not run"))?;
        Ok(process.identity().clone())
    }

    /// Where a role tells of its health and its metrics.
    ///
    /// # Errors
    /// When it does not run.
    pub fn ops(&self, role: &str) -> anyhow::Result<SocketAddr> {
        let roles = self.roles();
        let process = roles.get(role);
        Ok(process
            .with_context(|| format!("role {role} does not run"))?
            .ops())
    }

    /// Takes a process for a role of this mesh, in place of one that runs.
    pub fn adopt(&self, role: &'static str, process: Proc) {
        self.roles().insert(role, process);
    }

    /// A second process of a role, with a directory and addresses of its own.
    /// It is not waited for, and nobody but its owner ends it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn another(&self, role: &str, name: &str) -> anyhow::Result<Proc> {
        let mut settings = self.settings().clone();
        settings.data_dir = self.bed.dir().join(name);
        let free = || anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        settings.gateway.listen = free()?;
        settings.registry.listen = free()?;
        settings.policy.listen = free()?;
        settings.federation.listen = free()?;
        settings.agent_servers.listen = free()?;
        settings.crm_sandbox.listen = free()?;
        Proc::spawn(role, &settings)
    }

    /// Asks these roles to drain and end.
    ///
    /// # Errors
    /// When one does not, or ends with an error.
    pub async fn stop_roles(&self, roles: &[&str]) -> anyhow::Result<()> {
        let stopped = roles.iter().map(|role| {
            let process = self.roles().remove(*role);
            async move {
                let mut process = process.with_context(|| format!("role {role} does not run"))?;
                let status = process.terminate().await?;
                ensure!(status.success(), "role {role} ended with {status}");
                Ok(())
            }
        });
        try_join_all(stopped).await.map(drop)
    }

    /// Runs a command of the binary and returns what it printed.
    ///
    /// # Errors
    /// When it fails; says what it complained about.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Proc::command(&self.bed.settings)?;
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(
            output.status.success(),
            "agentmesh {arguments:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs the commands of a page of the docs, as who reads it would beside a
    /// running `agentmesh dev`, but that `curl` fails where it is told no;
    /// returns what they printed.
    ///
    /// # Errors
    /// When one fails; says what it complained about.
    pub async fn run_documented(&self, commands: &str) -> anyhow::Result<String> {
        let data = self.settings().data_dir.join(".agentmesh/data");
        std::fs::create_dir_all(&data)?;
        std::fs::write(data.join("demo-signing-secret"), sender::SECRET)?;
        let gateway = format!("http://{}", self.settings().gateway.listen);
        let commands = commands.replace("http://127.0.0.1:3000", &gateway);
        let agentmesh = Proc::command(self.settings())?;
        let script = format!(
            "set -eu\nagentmesh() {{ '{}' \"$@\"; }}\ncurl() {{ command curl --fail-with-body \"$@\"; }}\n{commands}",
            Path::new(agentmesh.get_program()).display()
        );
        let set =
            |(name, value): (&OsStr, Option<&OsStr>)| Some((name.to_owned(), value?.to_owned()));
        let output = tokio::process::Command::new("sh")
            .args(["-c", &script])
            .envs(agentmesh.get_envs().filter_map(set))
            .current_dir(&self.settings().data_dir)
            .output()
            .await?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success(),
            "{commands}\nended with {}: {said}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }

    /// # Errors
    /// When no HTTP client can be made.
    pub fn registrar(&self) -> anyhow::Result<Registrar> {
        Registrar::new(self.settings())
    }

    /// # Errors
    /// When no HTTP client can be made.
    pub fn sender(&self) -> anyhow::Result<Sender> {
        Sender::new(self.settings())
    }

    /// # Errors
    /// When no HTTP client can be made.
    pub fn crm(&self) -> anyhow::Result<Crm> {
        Crm::new(self.settings())
    }

    /// # Errors
    /// When a server cannot be reached.
    pub async fn observer(&self) -> anyhow::Result<Observer> {
        Observer::new(self.settings()).await
    }

    fn roles(&self) -> impl std::ops::DerefMut<Target = BTreeMap<&'static str, Proc>> + '_ {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // A failed test is explained by what the roles said.
        if std::thread::panicking() {
            for process in self.roles().deref().values() {
                tell_troubles(process);
            }
        }
    }
}

/// Prints the last warnings and errors of a role.
#[expect(clippy::print_stderr, reason = "this is a test's own output")]
fn tell_troubles(process: &Proc) {
    let text = std::fs::read_to_string(process.log()).unwrap_or_default();
    let troubles: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        .collect();
    for line in &troubles[troubles.len().saturating_sub(8)..] {
        eprintln!("{}: {line}", process.role());
    }
}
