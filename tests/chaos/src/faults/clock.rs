use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_testkit::Proc;

use crate::{Fault, Scene, Stand};

pub(super) const OF_THE_GATEWAY: Fault =
    Fault::new("F20", "gateway's clock off by six minutes", of_the_gateway)
        .needing(no_compiler)
        .only_long();
pub(super) const OF_CONSUMERS: Fault = Fault::new("F20", "consumers' clocks apart", of_consumers)
    .needing(no_compiler)
    .only_long();

/// A library that tells its process another time.
const SKEW: &str = include_str!("skew.c");

fn no_compiler(_: &Stand) -> Option<String> {
    let found = Command::new("cc").arg("--version").output().is_ok();
    (!found).then(|| "there is no C compiler".to_owned())
}

/// A clock that can be set while its process runs.
struct Clock {
    file: File,
    environment: Vec<(String, String)>,
}

impl Clock {
    /// One that is right, for now.
    fn new(dir: &Path, role: &str) -> anyhow::Result<Self> {
        let path = |suffix: &str| dir.join(format!("{role}.clock{suffix}"));
        let (source, library, skew) = (path(".c"), path(".so"), path(""));
        std::fs::write(&source, SKEW)?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()?;
        ensure!(
            built.status.success(),
            "cc: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        let file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&skew)?;
        let clock = Self {
            file,
            environment: vec![
                ("LD_PRELOAD".to_owned(), library.display().to_string()),
                ("CLOCK_SKEW".to_owned(), skew.display().to_string()),
            ],
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// From now on it is ahead by so many minutes, or behind.
    fn set(&self, minutes: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&(minutes * 60).to_ne_bytes(), 0)?)
    }
}

/// Starts a role anew that believes in this clock.
async fn believing(scene: &Scene<'_>, role: &'static str, minutes: i64) -> anyhow::Result<Clock> {
    let mesh = &scene.stand.mesh;
    let settings = mesh.settings();
    let clock = Clock::new(&settings.data_dir, role)?;
    clock.set(minutes)?;
    mesh.kill(role)?;
    let mut process = Proc::spawn_with(role, settings, &clock.environment)?;
    process.ready().await?;
    mesh.adopt(role, process);
    Ok(clock)
}

/// Signed timestamps are too far from now, either way, and senders are told so
/// with the same 401 as any forger. The clock steps under a running gateway.
fn of_the_gateway<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let clock = believing(scene, "gateway", 0).await?;
        scene.acknowledged_more(2).await?;
        for minutes in [6, -6] {
            clock.set(minutes)?;
            scene.load.mark();
            scene.refused_more(12).await?;
            let let_in = scene.load.acknowledged_since_mark();
            if let_in > 0 {
                scene.wrong(format!("{let_in} let in at {minutes} min"));
            }
            let reasons = refusals(scene).await?;
            scene.note(format!("{minutes} min: {reasons}"));
            clock.set(0)?;
            scene.acknowledged_more(2).await?;
        }
        // One step back within the tolerance: nothing is ordered by the clock.
        clock.set(-2)?;
        scene.acknowledged_more(3).await?;
        scene.stand.kill_role("gateway").await
    }
    .boxed()
}

/// What the gateway's metrics say of failures to authenticate.
async fn refusals(scene: &Scene<'_>) -> anyhow::Result<String> {
    let url = format!("http://{}/metrics", scene.stand.mesh.ops("gateway")?);
    let http = platform_http::client(platform_http::ClientOptions::default())?;
    let text = http.get(url).send().await?.text().await?;
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("agentmesh_gateway_signature_failures_total"))
        .collect();
    ensure!(
        lines.iter().any(|line| line.contains("timestamp")),
        "no metric tells of timestamps: {lines:?}"
    );
    Ok(lines.join(" "))
}

const SKEWS: [(&str, i64); 5] = [
    ("projections", 6),
    ("federation", -6),
    ("workflow", 6),
    ("agents", -6),
    ("sync", -6),
];

/// Order is that of offsets and versions, and no clock's.
fn of_consumers<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        for (role, minutes) in SKEWS {
            believing(scene, role, minutes).await?;
        }
        scene.acknowledged_more(6).await?;
        scene.sleep(1_000, 15_000).await;
        for (role, _) in SKEWS {
            scene.stand.kill_role(role).await?;
        }
        let told: Vec<String> = SKEWS
            .iter()
            .map(|(role, minutes)| format!("{role} {minutes:+} min"))
            .collect();
        scene.note(told.join(", "));
        Ok(())
    }
    .boxed()
}
