use std::ffi::OsString;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use platform_config::Settings;
use platform_localstack::{Identity, Signal, answers_http};

use crate::{eventually, free_port};

/// The `agentmesh` binary as a process of its own, for tests that kill it.
/// Dropped, it is killed.
#[derive(Debug)]
pub struct Proc {
    role: String,
    child: Child,
    identity: Identity,
    ops: SocketAddr,
    log: PathBuf,
}

impl Proc {
    /// Starts `agentmesh serve --role <role>` under `settings`, but with an
    /// operations address of its own. The output is appended to
    /// `<data_dir>/<role>.log`.
    ///
    /// # Errors
    /// When the binary is not built or cannot be started.
    pub fn spawn(role: &str, settings: &Settings) -> anyhow::Result<Self> {
        Self::spawn_with(role, settings, &[])
    }

    /// The same with more in its environment.
    ///
    /// # Errors
    /// When the binary is not built or cannot be started.
    pub fn spawn_with(
        role: &str,
        settings: &Settings,
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut settings = settings.clone();
        settings.telemetry.ops_listen = ops;
        std::fs::create_dir_all(&settings.data_dir)?;
        let log = settings.data_dir.join(format!("{role}.log"));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Self::command(&settings)?;
        let mut child = command
            .args(["serve", "--role", role])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("role {role} cannot be started"))?;
        let Some(identity) = Identity::of(i32::try_from(child.id())?) else {
            anyhow::bail!("role {role} ended at once: {:?}", child.wait());
        };
        Ok(Self {
            role: role.to_owned(),
            child,
            identity,
            ops,
            log,
        })
    }

    /// The binary under `settings`, arguments to be added: for its other
    /// commands.
    ///
    /// # Errors
    /// When the binary is not built.
    pub fn command(settings: &Settings) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .envs(environment(settings))
            .current_dir(&settings.data_dir);
        Ok(command)
    }

    /// Waits until the role says that it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready within 180 s; the end of its log is told.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let address = self.ops.to_string();
        let identity = self.identity.clone();
        let answered = eventually(Duration::from_secs(180), || async {
            if !identity.is_alive() {
                return Some(false);
            }
            answers_http(&address, "/readyz").await.then_some(true)
        });
        match answered.await {
            Ok(true) => Ok(()),
            Ok(false) => anyhow::bail!(
                "role {} ended ({:?}) before it was ready:\n{}",
                self.role,
                self.child.wait(),
                self.log_tail()
            ),
            Err(_) => anyhow::bail!(
                "role {} is not ready after 180 s:\n{}",
                self.role,
                self.log_tail()
            ),
        }
    }

    /// Ends the process as a power cut would.
    ///
    /// # Errors
    /// When it cannot be reaped.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to drain and end, and waits for it.
    ///
    /// # Errors
    /// When it has not ended after 30 s.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.identity.signal(Signal::TERM)?;
        let child = &mut self.child;
        eventually(Duration::from_secs(30), || {
            let ended = child.try_wait();
            async move { ended.ok().flatten() }
        })
        .await
        .with_context(|| format!("role {} does not end", self.role))
    }

    /// Stops the process in its tracks, to be continued.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> anyhow::Result<()> {
        Ok(self.identity.signal(Signal::STOP)?)
    }

    /// Lets a paused process go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> anyhow::Result<()> {
        Ok(self.identity.signal(Signal::CONT)?)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What tells it from every other process, for whoever signals it later.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }

    pub fn role(&self) -> &str {
        &self.role
    }

    /// Where health, readiness and metrics are served.
    pub fn ops(&self) -> SocketAddr {
        self.ops
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `AGENTMESH_BIN`, else the binary built beside the running test.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("AGENTMESH_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let built = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("agentmesh"))
        .find(|binary| binary.is_file());
    built.with_context(|| {
        format!(
            "no agentmesh binary beside {}: run cargo build -p services-cli",
            test.display()
        )
    })
}

/// A list as one setting.
fn joined(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}

/// What of the settings differs from test to test, as the environment that
/// makes the binary load the same.
fn environment(settings: &Settings) -> Vec<(OsString, OsString)> {
    let mut environment = Vec::new();
    let mut set = |key: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        let name = format!("AGENTMESH__{}", key.replace('.', "__").to_uppercase());
        environment.push((name.into(), value.as_ref().to_owned()));
    };
    let s = settings;
    set("data_dir", &s.data_dir);
    set("kafka.brokers", &s.kafka.brokers);
    set("kafka.topic_prefix", &s.kafka.topic_prefix);
    set("kafka.partitions", &s.kafka.partitions.to_string());
    set(
        "kafka.session_timeout_ms",
        &s.kafka.session_timeout_ms.to_string(),
    );
    set(
        "kafka.max_poll_interval_ms",
        &s.kafka.max_poll_interval_ms.to_string(),
    );
    set("kafka.replication", &s.kafka.replication.to_string());
    set(
        "kafka.min_insync_replicas",
        &s.kafka.min_insync_replicas.to_string(),
    );
    set(
        "kafka.message_timeout_ms",
        &s.kafka.message_timeout_ms.to_string(),
    );
    set("schema_registry.url", &s.schema_registry.url);
    set(
        "schema_registry.timeout_ms",
        &s.schema_registry.timeout_ms.to_string(),
    );
    set("postgres.url", &s.postgres.url);
    set("postgres.pool_size", &s.postgres.pool_size.to_string());
    set("redis.url", &s.redis.url);
    set("redis.key_prefix", &s.redis.key_prefix);
    let letters = &s.dead_letters;
    set("dead_letters.attempts", &letters.attempts.to_string());
    set(
        "dead_letters.first_pause_ms",
        &letters.first_pause_ms.to_string(),
    );
    set(
        "dead_letters.longest_pause_ms",
        &letters.longest_pause_ms.to_string(),
    );
    set(
        "dead_letters.schema_wait_ms",
        &letters.schema_wait_ms.to_string(),
    );
    set("http.reuse_port", &s.http.reuse_port.to_string());
    set("http.drain_notice_ms", &s.http.drain_notice_ms.to_string());
    set("gateway.listen", &s.gateway.listen.to_string());
    set(
        "gateway.max_body_bytes",
        &s.gateway.max_body_bytes.to_string(),
    );
    set(
        "gateway.request_timeout_ms",
        &s.gateway.request_timeout_ms.to_string(),
    );
    set(
        "gateway.invoke_wait_ms",
        &s.gateway.invoke_wait_ms.to_string(),
    );
    if let Some(url) = &s.gateway.public_url {
        set("gateway.public_url", url);
    }
    set(
        "gateway.trusted_proxies",
        &joined(&s.gateway.trusted_proxies),
    );
    set("outbound.allow", &joined(&s.outbound.allow));
    set("registry.listen", &s.registry.listen.to_string());
    set("policy.listen", &s.policy.listen.to_string());
    set("federation.listen", &s.federation.listen.to_string());
    set(
        "federation.merge_threshold",
        &s.federation.merge_threshold.to_string(),
    );
    set("workflow.tick_ms", &s.workflow.tick_ms.to_string());
    set("agents.federation_url", &s.agents.federation_url);
    set("agent_servers.listen", &s.agent_servers.listen.to_string());
    set("crm_sandbox.listen", &s.crm_sandbox.listen.to_string());
    set("crm_sandbox.data_dir", &s.crm_sandbox.data_dir);
    set(
        "crm_sandbox.access_token",
        &s.crm_sandbox.access_token.expose(),
    );
    if let Some(key) = &s.secrets.key {
        set("secrets.key", &key.expose());
    }
    if let Some(file) = &s.secrets.key_file {
        set("secrets.key_file", file);
    }
    set("telemetry.ops_listen", &s.telemetry.ops_listen.to_string());
    set("telemetry.log_filter", &s.telemetry.log_filter);
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_gives_the_settings_back() {
        let mut settings = Settings::defaults().unwrap();
        settings.kafka.topic_prefix = "t_1.".to_owned();
        settings.postgres.url = "postgres://a@h/t_1".to_owned();
        settings.federation.merge_threshold = 0.9;
        settings.gateway.listen = "127.0.0.1:15001".parse().unwrap();
        settings.data_dir = "/tmp/t_1".into();
        let environment = environment(&settings)
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()));
        let read = Settings::from_layers(None, environment).unwrap();
        assert_eq!(format!("{read:?}"), format!("{settings:?}"));
    }
}
