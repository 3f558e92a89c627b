//! `pgbench`, the yardstick that comes with Postgres.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use platform_postgres::{Migration, Pool};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// At once, as many as a pool of ours has connections for.
const CLIENTS: usize = 8;

/// Its tables: of the same form and content as ours.
const SCHEMA: &str = "yard";

/// Two upserts of a run that it draws, as a projection without batches makes them.
const SCRIPT: &str = r"\set n random(1, COUNT)
BEGIN;
INSERT INTO run AS known (workflow_id, tenant, correlation, version, status, changed_at)
    SELECT workflow_id, 'acme', correlation,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 'running', now()
    FROM pick WHERE n = :n
    ON CONFLICT (workflow_id) DO UPDATE SET
        version = excluded.version, status = excluded.status, changed_at = excluded.changed_at
    WHERE known.version < excluded.version;
INSERT INTO step AS known (workflow_id, step, status, started_at)
    SELECT workflow_id, 'triage', 'running', now() FROM pick WHERE n = :n
    ON CONFLICT (workflow_id, step) DO UPDATE SET
        status = excluded.status, started_at = excluded.started_at;
COMMIT;
";

/// Makes the tables, with what stands in those of the schema `own`, and numbers
/// to draw runs by.
pub(super) async fn prepare(
    pool: &Pool,
    migrations: &[Migration],
    own: &str,
) -> anyhow::Result<()> {
    platform_postgres::migrate(pool, SCHEMA, migrations).await?;
    let fill = format!(
        "INSERT INTO {SCHEMA}.run SELECT * FROM {own}.run;
         INSERT INTO {SCHEMA}.step SELECT * FROM {own}.step;
         CREATE TABLE {SCHEMA}.pick AS
             SELECT row_number() OVER ()::int AS n, workflow_id, correlation FROM {own}.run;
         ALTER TABLE {SCHEMA}.pick ADD PRIMARY KEY (n);
         ANALYZE {SCHEMA}.run; ANALYZE {SCHEMA}.step; ANALYZE {SCHEMA}.pick"
    );
    Ok(pool.get().await?.batch_execute(&fill).await?)
}

/// Rows a second: prepared statements, a transaction after another on each of
/// eight connections, each of them on the disk before the next.
pub(super) async fn rows_per_second(url: &str, transactions: usize) -> anyhow::Result<f64> {
    let script = SCRIPT.replace("COUNT", &transactions.to_string());
    let each = transactions.div_ceil(CLIENTS).to_string();
    let clients = CLIENTS.to_string();
    let mut process = Command::new(binary()?)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .args(["--client", &clients, "--transactions", &each])
        .args(["--file=-", url])
        .env("PGOPTIONS", format!("-c search_path={SCHEMA}"))
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
    let rate = rate.with_context(|| format!("no rate: {said}"))?;
    Ok(2.0 * rate.parse::<f64>()?)
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
