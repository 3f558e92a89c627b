use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_testkit::Proc;

use crate::{Fault, Scene, Stand};

pub(super) const OF_THE_GATEWAY: Fault =
    Fault::new("F20", "gateway's clock off by six minutes", of_the_gateway).needing(no_library);
pub(super) const OF_CONSUMERS: Fault =
    Fault::new("F20", "consumers' clocks apart", of_consumers).needing(no_library);

/// The library that tells a process another time, for programs with threads.
fn library() -> Option<PathBuf> {
    const PLACES: [&str; 4] = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
        "/usr/local/lib/faketime/libfaketimeMT.so.1",
    ];
    PLACES
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

fn no_library(_: &Stand) -> Option<String> {
    library()
        .is_none()
        .then(|| "libfaketime is not installed".to_owned())
}

/// A clock that can be set while its process runs.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn new(dir: &Path, role: &str) -> Self {
        Self {
            file: dir.join(format!("{role}.clock")),
        }
    }

    /// `+6m`, `-6m`, `+0`.
    fn set(&self, offset: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.file, format!("{offset}\n"))?)
    }

    fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let library = library().context("no libfaketime")?;
        let set = |name: &str, value: String| (name.to_owned(), value);
        Ok(vec![
            set("LD_PRELOAD", library.display().to_string()),
            set("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            set("FAKETIME_NO_CACHE", "1".to_owned()),
            // Waiting goes by another clock, and is none of this.
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            set("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ])
    }
}

/// Starts a role anew that believes in this clock.
async fn believing(scene: &Scene<'_>, role: &'static str, offset: &str) -> anyhow::Result<Clock> {
    let mesh = &scene.stand.mesh;
    let settings = mesh.settings();
    let clock = Clock::new(&settings.data_dir, role);
    clock.set(offset)?;
    mesh.kill(role)?;
    let mut process = Proc::spawn_with(role, settings, &clock.environment()?)?;
    process.ready().await?;
    mesh.adopt(role, process);
    Ok(clock)
}

/// Signed timestamps are too far from now, either way, and senders are told so
/// with the same 401 as any forger. The clock steps under a running gateway.
fn of_the_gateway<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let clock = believing(scene, "gateway", "+0").await?;
        scene.acknowledged_more(2).await?;
        for offset in ["+6m", "-6m"] {
            clock.set(offset)?;
            // Whoever was on the way is through.
            scene.refused_more(4).await?;
            let before = scene.load.acknowledged();
            scene.refused_more(8).await?;
            let let_in = scene.load.acknowledged() - before;
            if let_in > 0 {
                scene.wrong(format!("{let_in} let in at {offset}"));
            }
            let reasons = refusals(scene).await?;
            scene.note(format!("{offset}: {reasons}"));
            clock.set("+0")?;
            scene.acknowledged_more(2).await?;
        }
        // One step back within the tolerance: nothing is ordered by the clock.
        clock.set("-2m")?;
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

const SKEWS: [(&str, &str); 5] = [
    ("projections", "+6m"),
    ("federation", "-6m"),
    ("workflow", "+6m"),
    ("agents", "-6m"),
    ("sync", "-6m"),
];

/// Order is that of offsets and versions, and no clock's.
fn of_consumers<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        for (role, offset) in SKEWS {
            believing(scene, role, offset).await?;
        }
        scene.acknowledged_more(6).await?;
        scene.sleep(1_000, 15_000).await;
        for (role, _) in SKEWS {
            scene.stand.kill_role(role).await?;
        }
        let told: Vec<String> = SKEWS
            .iter()
            .map(|(role, offset)| format!("{role} {offset}"))
            .collect();
        scene.note(told.join(", "));
        Ok(())
    }
    .boxed()
}
