use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use platform_testkit::{Proc, free_port};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::{Ground, Memory, Response, read};

const ROLE: &str = "gateway";

/// One more gateway on the same ground, which speaks TLS under a certificate of
/// `agentmesh certs`.
#[derive(Debug)]
pub struct Secure {
    gateway: Proc,
    address: SocketAddr,
    authorities: PathBuf,
}

impl Secure {
    /// # Errors
    /// When there is no certificate to be had, or the gateway does not come up.
    pub async fn beside(ground: &Ground) -> anyhow::Result<Self> {
        let mut settings = ground.settings.clone();
        settings.data_dir = settings.data_dir.join("secure");
        settings.gateway.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        std::fs::create_dir_all(&settings.data_dir)?;
        let mut certs = Proc::command(&settings)?;
        certs.args(["certs", "init"]);
        let output = tokio::task::spawn_blocking(move || certs.output()).await??;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let files = settings.data_dir.join("certs");
        let environment =
            [("CERTIFICATE", "gateway.pem"), ("KEY", "gateway-key.pem")].map(|(setting, file)| {
                let name = format!("AGENTMESH__GATEWAY__TLS__{setting}");
                (name, files.join(file).display().to_string())
            });
        let mut gateway = Proc::spawn_with(ROLE, &settings, &environment)?;
        gateway.ready().await?;
        Ok(Self {
            gateway,
            address: settings.gateway.listen,
            authorities: files.join("ca.pem"),
        })
    }

    pub fn memory(&self) -> Memory {
        Memory::of(self.gateway.pid())
    }

    pub fn is_alive(&self) -> bool {
        self.gateway.is_alive()
    }

    /// One request, and the one answer to it.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub async fn exchange(&self, bytes: &[u8]) -> anyhow::Result<Response> {
        let mut answers = Response::all(&self.say("http/1.1", bytes).await?)?;
        ensure!(answers.len() == 1, "{answers:?}");
        answers.pop().context("no answer")
    }

    /// Writes `bytes` inside TLS, in the protocol that is agreed on in its
    /// handshake, and reads until the other side closes. OpenSSL speaks it, so
    /// that every byte inside is the caller's choice.
    ///
    /// # Errors
    /// When `openssl` is not installed, the gateway's certificate is not that of
    /// its authority, or the connection is not closed within a minute.
    pub async fn say(&self, protocol: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut client = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_quiet",
                "-verify_return_error",
            ])
            .args(["-verify_hostname", "localhost", "-servername", "localhost"])
            .args(["-alpn", protocol, "-connect", &self.address.to_string()])
            .arg("-CAfile")
            .arg(&self.authorities)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("openssl cannot be started")?;
        let mut stdin = client.stdin.take().context("no stdin")?;
        let mut stdout = client.stdout.take().context("no stdout")?;
        let writing = async {
            // The other side may close before it has read everything.
            let _ = stdin.write_all(bytes).await;
            let _ = stdin.flush().await;
        };
        let ((), said) = tokio::join!(writing, read(&mut stdout));
        let said = said?;
        drop(stdin);
        let ended = client.wait_with_output().await?;
        let complaints = String::from_utf8_lossy(&ended.stderr);
        ensure!(!said.is_empty(), "openssl: {complaints}");
        Ok(said)
    }
}
