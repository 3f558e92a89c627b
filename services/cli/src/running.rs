//! `dev.json` in the data directory: which process `agentmesh dev` is, and
//! where its roles listen.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use platform_config::Settings;
use platform_localstack::{FreePorts, Identity, is_free};
use serde::{Deserialize, Serialize};

use crate::certificates::{self, origin};

/// Held by `agentmesh dev` from its first moment to its last: there is one for
/// a data directory.
#[derive(Debug)]
pub(crate) struct Only {
    _file: File,
}

impl Only {
    /// `None` when another process is the one.
    pub(crate) fn claim(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot make {}", data_dir.display()))?;
        let path = data_dir.join("dev.lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).context(format!("cannot lock {}", path.display()))
            }
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) identity: Identity,
    /// By the key of the setting. Empty while the servers are being prepared.
    pub(crate) listen: BTreeMap<String, SocketAddr>,
    /// Whether the roles use the certificates of `agentmesh certs`.
    #[serde(default)]
    pub(crate) tls: bool,
}

/// A setting that says where a role listens.
type Listen = fn(&mut Settings) -> &mut SocketAddr;

const LISTEN: [(&str, Listen); 7] = [
    ("gateway.listen", |s| &mut s.gateway.listen),
    ("registry.listen", |s| &mut s.registry.listen),
    ("policy.listen", |s| &mut s.policy.listen),
    ("federation.listen", |s| &mut s.federation.listen),
    ("agent_servers.listen", |s| &mut s.agent_servers.listen),
    ("crm_sandbox.listen", |s| &mut s.crm_sandbox.listen),
    ("telemetry.ops_listen", |s| &mut s.telemetry.ops_listen),
];

impl Running {
    /// This process, whose roles do not listen yet.
    pub(crate) fn starting() -> anyhow::Result<Self> {
        let pid = i32::try_from(std::process::id())?;
        Ok(Self {
            identity: Identity::of(pid).context("this process is not in /proc")?,
            listen: BTreeMap::new(),
            tls: false,
        })
    }

    /// This process, under `settings`.
    pub(crate) fn this(settings: &Settings) -> anyhow::Result<Self> {
        let mut settings = settings.clone();
        let listen = LISTEN.map(|(key, listen)| (key.to_owned(), *listen(&mut settings)));
        Ok(Self {
            listen: BTreeMap::from(listen),
            tls: settings.gateway.tls.is_on(),
            ..Self::starting()?
        })
    }

    /// The running `agentmesh dev` of this data directory. The remains of one
    /// that ended badly are none.
    pub(crate) fn find(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(data_dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let running: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what dev writes", path.display()))?;
        Ok(running.identity.is_alive().then_some(running))
    }

    /// Written in one step: nobody reads half of it.
    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = path(data_dir);
        let new = path.with_extension("json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&new, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    pub(crate) fn remove(data_dir: &Path) {
        // What stays is recognised as stale.
        let _ = std::fs::remove_file(path(data_dir));
    }

    /// Moves what `settings` leaves at its default to where it runs.
    pub(crate) fn apply(&self, settings: &mut Settings, defaults: &Settings) {
        let mut defaults = defaults.clone();
        for (key, listen) in LISTEN {
            if let Some(address) = self.listen.get(key)
                && listen(settings) == listen(&mut defaults)
            {
                *listen(settings) = *address;
            }
        }
        if self.tls {
            certificates::apply(settings, certificates::COMMAND_LINE);
        }
        follow_federation(settings, &defaults);
    }
}

/// Moves roles whose default address is taken to free ports. An address that
/// somebody chose stays: if it is taken, that is an error to be told.
pub(crate) fn avoid_taken_ports(settings: &mut Settings) -> anyhow::Result<()> {
    let mut defaults = Settings::defaults()?;
    let mut free = FreePorts::default();
    for (key, listen) in LISTEN {
        let address = *listen(settings);
        if address == *listen(&mut defaults) && !is_free(address.port()) {
            let port = free.any()?;
            listen(settings).set_port(port);
            tracing::info!(
                setting.key = key,
                server.port = port,
                "the usual port {} is taken",
                address.port()
            );
        }
    }
    follow_federation(settings, &defaults);
    Ok(())
}

/// The agents ask federation where it is.
fn follow_federation(settings: &mut Settings, defaults: &Settings) {
    if settings.agents.federation_url == defaults.agents.federation_url {
        settings.agents.federation_url =
            origin(settings.federation.listen, &settings.federation.tls);
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("dev.json")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_running_dev_is_found_and_its_addresses_adopted() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Running::find(dir.path()).unwrap().is_none());

        let defaults = Settings::defaults().unwrap();
        let mut moved = defaults.clone();
        moved.gateway.listen.set_port(41_000);
        moved.federation.listen.set_port(41_004);
        Running::this(&moved).unwrap().write(dir.path()).unwrap();

        let found = Running::find(dir.path()).unwrap().unwrap();
        let mut settings = defaults.clone();
        // Somebody chose this one.
        settings.policy.listen.set_port(42_003);
        found.apply(&mut settings, &defaults);
        assert_eq!(settings.gateway.listen.port(), 41_000);
        assert_eq!(settings.policy.listen.port(), 42_003);
        assert_eq!(settings.agents.federation_url, "http://127.0.0.1:41004");
    }

    #[test]
    fn there_is_one_for_a_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let one = Only::claim(dir.path()).unwrap();
        assert!(one.is_some());
        assert!(Only::claim(dir.path()).unwrap().is_none());
        drop(one);
        assert!(Only::claim(dir.path()).unwrap().is_some());
    }

    #[test]
    fn one_that_ended_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let mut running = Running::this(&Settings::defaults().unwrap()).unwrap();
        running.identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        running.write(dir.path()).unwrap();
        assert!(Running::find(dir.path()).unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Running::find(dir.path()).unwrap().is_none());
    }

    #[test]
    fn only_default_addresses_move_out_of_the_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = Settings::defaults().unwrap();
        settings.gateway.listen = listener.local_addr().unwrap();
        let chosen = settings.gateway.listen;
        avoid_taken_ports(&mut settings).unwrap();
        assert_eq!(settings.gateway.listen, chosen);
    }
}
