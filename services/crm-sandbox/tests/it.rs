#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The sandbox over HTTP: as HubSpot's official client sees it, and across a kill.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use platform_config::Settings;
use platform_http::{ClientOptions, Readiness, client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const CLIENT: &str = "hubspot-api-client==12.0.0";

struct Sandbox {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), services_crm_sandbox::Error>>,
}

async fn start(directory: &Path) -> anyhow::Result<Sandbox> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, platform_testkit::free_port()?));
    let mut settings = Settings::defaults()?;
    settings.crm_sandbox.listen = address;
    settings.crm_sandbox.data_dir = directory.to_owned();
    let stop = CancellationToken::new();
    let readiness = Readiness::new();
    let task = tokio::spawn(services_crm_sandbox::run(
        Arc::new(settings),
        readiness.clone(),
        stop.clone(),
    ));
    let url = format!("http://{address}");
    let http = client(ClientOptions::default())?;
    platform_testkit::eventually(std::time::Duration::from_secs(20), || async {
        http.get(&url).send().await.is_ok()
    })
    .await?;
    Ok(Sandbox { url, stop, task })
}

impl Sandbox {
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}

/// The directory with the official client, installed on first use.
fn official_client() -> anyhow::Result<PathBuf> {
    let directory = platform_testkit::workspace_dir()
        .join("target/python")
        .join(CLIENT.replace("==", "-"));
    if directory.join("hubspot").exists() {
        return Ok(directory);
    }
    let unfinished = tempfile::tempdir_in(platform_testkit::workspace_dir().join("target"))?;
    let installed = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--root-user-action=ignore",
        ])
        .arg("--target")
        .arg(unfinished.path())
        .arg(CLIENT)
        .status()
        .context("python3 with pip is needed for HubSpot's official client")?;
    ensure!(installed.success(), "pip could not install {CLIENT}");
    std::fs::create_dir_all(directory.parent().context("target/python")?)?;
    std::fs::rename(unfinished.keep(), &directory)?;
    Ok(directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_drives_it() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let packages = tokio::task::spawn_blocking(official_client).await??;
    let sandbox = start(directory.path()).await?;
    let output = tokio::process::Command::new("python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/official_client.py"
        ))
        .args([&sandbox.url, "sandbox-token"])
        .env("PYTHONPATH", packages)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    sandbox.stop().await
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let http = client(ClientOptions::default())?;
    let sandbox = start(directory.path()).await?;
    let created: Value = http
        .post(format!("{}/crm/v3/objects/contacts", sandbox.url))
        .bearer_auth("sandbox-token")
        .json(&json!({ "properties": { "email": "Ada@example.com" } }))
        .send()
        .await?
        .json()
        .await?;
    sandbox.stop().await?;

    // A kill in the middle of a write leaves half a line.
    let journal = directory.path().join("journal.jsonl");
    let mut bytes = std::fs::read(&journal)?;
    bytes.extend_from_slice(br#"{"change":"record","object":"conta"#);
    std::fs::write(&journal, bytes)?;

    let sandbox = start(directory.path()).await?;
    let read: Value = http
        .get(format!(
            "{}/crm/v3/objects/contacts/ada@example.com?idProperty=email",
            sandbox.url
        ))
        .bearer_auth("sandbox-token")
        .send()
        .await?
        .json()
        .await?;
    ensure!(read["id"] == created["id"], "{created} became {read}");
    sandbox.stop().await
}

#[tokio::test]
async fn a_batch_does_what_it_can_and_names_the_rest() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let sandbox = start(directory.path()).await?;
    let response = client(ClientOptions::default())?
        .post(format!(
            "{}/crm/v3/objects/contacts/batch/upsert",
            sandbox.url
        ))
        .bearer_auth("sandbox-token")
        .json(&json!({ "inputs": [
            { "id": "a@example.com", "idProperty": "email", "objectWriteTraceId": "1",
              "properties": { "firstname": "Ada" } },
            { "id": "b@example.com", "idProperty": "email", "objectWriteTraceId": "2",
              "properties": { "no_such": "x" } },
        ] }))
        .send()
        .await?;
    assert_eq!(response.status(), 207);
    let answer: Value = response.json().await?;
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        answer["errors"][0]["context"]["objectWriteTraceId"],
        json!(["2"])
    );
    sandbox.stop().await
}
