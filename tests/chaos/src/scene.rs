use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use platform_log::Admin;
use platform_redis::{Redis, Script};
use platform_testkit::eventually;
use tests_kit::Observer;

use crate::ledger::{Ledger, writes};
use crate::load::{Load, Pace};
use crate::oracle::{Digests, World, judge};
use crate::{Delivery, Dice, Fault, History, Row, Stand};

/// How long a mesh may take to be done with what it was sent. Generous: being
/// slow is not what is judged here, and the machine may be busy.
const RECOVERY: Duration = Duration::from_secs(300);

/// Where the runners keep their checkpoints in Postgres.
const SCHEMAS: [&str; 12] = [
    "deliveries",
    "decisions",
    "contexts",
    "executions",
    "workflows",
    "effects",
    "agents",
    "audit",
    "federation",
    "workflow",
    "agent_runs",
    "sync",
];

/// Where the cache keeps its own.
const POSITION: Script = Script::new("return redis.call('HGET', KEYS[1], ARGV[1])");

/// How long and how hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Short,
    Long,
}

impl Profile {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }

    pub fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }

    fn pace(self) -> Pace {
        Pace {
            keys: self.pick(4, 6),
            pause: Duration::from_millis(self.pick(900, 500)),
            most: self.pick(60, 400),
        }
    }
}

/// What a fault has to do its work with.
#[derive(Debug)]
pub struct Scene<'a> {
    pub stand: &'a Stand,
    pub profile: Profile,
    pub seed: u64,
    /// Stands in every id of this fault.
    pub name: String,
    /// Senders are at work all the while.
    pub load: &'a Load,
    dice: Mutex<Dice>,
    notes: Mutex<Vec<String>>,
    findings: Mutex<Vec<String>>,
    more: Mutex<Vec<Delivery>>,
    hopeless: Mutex<Vec<Delivery>>,
    lifted: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene<'_> {
    pub fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    /// Says in the report what was done.
    pub fn note(&self, note: impl Into<String>) {
        lock(&self.notes).push(note.into());
    }

    /// Says in the report what must not be.
    pub fn wrong(&self, finding: impl Into<String>) {
        lock(&self.findings).push(finding.into());
    }

    /// Has deliveries judged that the load did not send.
    pub fn judge_too(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        lock(&self.more).extend(deliveries);
    }

    /// The same of what nobody need wait for.
    pub fn never_to_be_applied(&self, delivery: Delivery) {
        lock(&self.hopeless).push(delivery);
    }

    /// From now on the recovery counts. Without a call it counts from the end
    /// of the fault.
    pub fn lifted(&self) {
        lock(&self.lifted).get_or_insert_with(Instant::now);
    }

    pub async fn sleep(&self, short_ms: u64, long_ms: u64) {
        let pause = self.profile.pick(short_ms, long_ms);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// Waits until so many more deliveries were acknowledged.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn acknowledged_more(&self, count: usize) -> anyhow::Result<()> {
        let wanted = self.load.acknowledged() + count;
        let done = eventually(RECOVERY, || async { self.load.acknowledged() >= wanted });
        done.await.context("deliveries are not acknowledged")
    }

    /// Waits until so many more posts were refused or not answered.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn refused_more(&self, count: usize) -> anyhow::Result<()> {
        let wanted = self.load.refused() + count;
        let done = eventually(Duration::from_secs(60), || async {
            self.load.refused() >= wanted
        });
        done.await
            .context("deliveries are still acknowledged while nothing can be kept")
    }
}

/// Runs one fault under load and has it judged.
///
/// # Errors
/// When the stand is beyond use: the faults after this one would mean nothing.
pub(crate) async fn run(
    stand: &Stand,
    fault: &Fault,
    profile: Profile,
    seed: u64,
    round: usize,
) -> anyhow::Result<Row> {
    let label = format!("{} {}", fault.code, fault.name);
    if let Some(why) = fault.needs.and_then(|needs| needs(stand)) {
        return Ok(Row::skipped(label, seed, why));
    }
    let observer = stand.observer().await?;
    let name = format!("{}x{round}", fault.id());
    let load = Load::start(&stand.sender()?, &name, seed, profile.pace());
    let scene = Scene {
        stand,
        profile,
        seed,
        name,
        load: &load,
        dice: Mutex::new(Dice::of(seed, &label)),
        notes: Mutex::default(),
        findings: Mutex::default(),
        more: Mutex::default(),
        hopeless: Mutex::default(),
        lifted: Mutex::default(),
    };
    scene.acknowledged_more(3).await?;
    let done = (fault.run)(&scene).await;
    stand.mend();
    scene.lifted();
    if let Err(error) = done {
        scene.wrong(format!("the fault itself: {error:#}"));
    }
    let Scene {
        notes,
        findings,
        more,
        hopeless,
        lifted,
        ..
    } = scene;
    let lifted = lock(&lifted).unwrap_or_else(Instant::now);
    let mut history = load.stop().await?;
    history.deliveries.append(&mut lock(&more));
    let mut findings = std::mem::take(&mut *lock(&findings));
    let applied = all_applied(&observer, &history).await;
    let recovery = lifted.elapsed();
    if let Err(error) = applied {
        findings.push(format!("not all was applied: {error:#}"));
    }
    history.deliveries.append(&mut lock(&hopeless));
    let world = world(stand, &observer).await?;
    let verdict = judge(&history, &world);
    if (verdict.lost.len(), verdict.duplicated.len()) != fault.expected {
        let lost = verdict.lost.iter().map(|what| format!("lost: {what}"));
        let twice = verdict.duplicated.iter();
        findings.extend(lost.chain(twice.map(|what| format!("twice: {what}"))));
        if fault.expected != (0, 0) {
            findings.push("the oracle did not find just what was planted".to_owned());
        }
    }
    findings.extend(verdict.wrong.iter().cloned());
    let mut done = std::mem::take(&mut *lock(&notes));
    done.push(format!("senders saw {}", history.summary()));
    Ok(Row {
        fault: label,
        acknowledged: verdict.acknowledged,
        applied: verdict.applied,
        lost: verdict.lost.len(),
        duplicated: verdict.duplicated.len(),
        recovery_seconds: (recovery.as_secs_f64() * 10.0).round() / 10.0,
        done: done.join("; "),
        seed,
        skipped: None,
        findings,
    })
}

/// Waits until every delivery that was acknowledged has come to its end.
async fn all_applied(observer: &Observer, history: &History) -> anyhow::Result<()> {
    let wanted = history.correlations();
    eventually(RECOVERY, || async {
        let ended = observer
            .rows(
                "SELECT count(DISTINCT correlation) FROM audit.event
                 WHERE type = 'WorkflowSucceeded' AND correlation::text = ANY($1)",
                &[&wanted],
            )
            .await?;
        let ended: i64 = ended[0].get(0);
        let ended = usize::try_from(ended)?;
        ensure!(
            ended == wanted.len(),
            "{ended} of {} runs have ended",
            wanted.len()
        );
        Ok(())
    })
    .await
}

/// What the mesh holds once nothing is under way any more.
async fn world(stand: &Stand, observer: &Observer) -> anyhow::Result<World> {
    quiet(stand, observer).await?;
    let live = digests(stand, "digest").await?;
    let replayed = digests(stand, "rebuild").await?;
    let journal = stand.direct().crm_sandbox.data_dir.join("journal.jsonl");
    Ok(World {
        ledger: Ledger::read(observer).await?,
        writes: writes(&std::fs::read_to_string(journal)?)?,
        digests: live
            .into_iter()
            .zip(replayed)
            .map(|((read_model, live), (_, replayed))| Digests {
                read_model,
                live,
                replayed,
            })
            .collect(),
    })
}

/// What `agentmesh replay` says of each read model.
async fn digests(stand: &Stand, action: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut arguments = vec!["replay", action, "--all", "--json"];
    if action == "rebuild" {
        // The oracle compares, and tells of a difference like of any other.
        arguments.push("--no-check");
    }
    let text = stand.mesh.run(&arguments).await?;
    let mut digests = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        digests.push((field("read_model"), field("digest")));
    }
    ensure!(!digests.is_empty(), "replay {action} printed no digest");
    Ok(digests)
}

/// Waits until every checkpoint stands at the end of its topic.
async fn quiet(stand: &Stand, observer: &Observer) -> anyhow::Result<()> {
    let admin = Admin::new(&stand.direct().kafka)?;
    let union: Vec<String> = SCHEMAS
        .iter()
        .map(|schema| {
            format!("SELECT '{schema}' AS runner, topic, partition, next_offset FROM \"{schema}\".mesh_checkpoint")
        })
        .collect();
    let query = union.join(" UNION ALL ");
    let redis = Redis::connect(&stand.direct().redis).await?;
    let settled = eventually(RECOVERY, || async {
        let rows = observer.rows(&query, &[]).await?;
        let mut ends = std::collections::HashMap::new();
        for row in &rows {
            let (runner, topic): (String, String) = (row.get(0), row.get(1));
            let (partition, next): (i32, i64) = (row.get(2), row.get(3));
            if !ends.contains_key(&topic) {
                ends.insert(topic.clone(), admin.high_watermarks(&topic).await?);
            }
            let end = ends[&topic]
                .iter()
                .find(|(number, _)| *number == partition)
                .map_or(0, |(_, end)| *end);
            ensure!(
                next == end,
                "{runner} is at {next} of {end} in {topic}/{partition}"
            );
        }
        // The cache keeps its offset with itself, and has lost it when flushed.
        let live = redis.get("context-cache:live").await?.unwrap_or_default();
        let live = String::from_utf8_lossy(&live).into_owned();
        let start = match live.as_str() {
            "" | "0" => String::new(),
            number => format!("cache{number}:"),
        };
        for (partition, end) in admin.high_watermarks("mesh.contexts").await? {
            let key = format!("{start}context-cache:position:{partition}");
            let at: Option<String> = redis
                .eval(&POSITION, &[key], vec![b"mesh.contexts".to_vec()])
                .await?;
            let at = at.unwrap_or_else(|| "0".to_owned());
            ensure!(
                at == end.to_string(),
                "the cache is at {at} of {end} in partition {partition}"
            );
        }
        Ok(())
    });
    settled.await.context("the mesh does not come to rest")
}
