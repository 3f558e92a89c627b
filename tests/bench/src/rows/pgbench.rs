//! `pgbench`, the yardstick that comes with Postgres.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// At once, as many as a pool of ours has connections for.
const CLIENTS: usize = 8;

/// Transactions a second of `script`, which pgbench's own language may pick
/// values in, over tables of `schema`; prepared, a transaction after another on
/// each of eight connections, each of them on the disk before the next.
pub(super) async fn pgbench(
    url: &str,
    schema: &str,
    script: &str,
    transactions: usize,
) -> anyhow::Result<f64> {
    let each = transactions.div_ceil(CLIENTS).to_string();
    let clients = CLIENTS.to_string();
    let mut process = Command::new(binary()?)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .args(["--client", &clients, "--transactions", &each])
        .args(["--file=-", url])
        .env("PGOPTIONS", format!("-c search_path={schema}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("pgbench cannot be started")?;
    let mut input = process.stdin.take().context("no standard input")?;
    input.write_all(script.as_bytes()).await?;
    drop(input);
    let output = process.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench: {complaint}");
    let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    let failed = of("number of failed transactions: ");
    ensure!(
        failed.is_none_or(|failed| failed.starts_with("0 ")),
        "pgbench: {said}"
    );
    let rate = of("tps = ").and_then(|rest| rest.split(' ').next());
    Ok(rate.with_context(|| format!("no rate: {said}"))?.parse()?)
}

/// On the path, or where Debian puts it.
fn binary() -> anyhow::Result<std::path::PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&on_path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|one| one.path().join("bin")));
    }
    places
        .into_iter()
        .map(|place| place.join("pgbench"))
        .find(|place| place.is_file())
        .context("pgbench is not here (Debian: postgresql-contrib)")
}
