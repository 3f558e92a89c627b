use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use platform_testkit::eventually;
use tests_kit::Observer;

use crate::load::{Load, Pace};
use crate::oracle::{World, judge};
use crate::{Delivery, Dice, Fault, History, Row, Stand, rest};

/// How long a mesh may take to be done with what it was sent. Generous: being
/// slow is not what is judged here, and the machine may be busy.
pub(crate) const RECOVERY: Duration = Duration::from_secs(300);

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
            brisk: self.pick(20, 60),
            most: 600,
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
        let done = eventually(RECOVERY, || async { self.load.refused() >= wanted });
        done.await
            .context("deliveries are still acknowledged while nothing can be kept")
    }
}

/// A fault that is over, and what its senders saw.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) history: History,
    /// What the oracle must find.
    pub(crate) expected: (usize, usize),
    /// All but the verdict.
    pub(crate) row: Row,
}

/// Breaks something under load, mends it, and waits until what was acknowledged
/// has come to its end.
///
/// # Errors
/// When the stand is beyond use: the faults after this one would mean nothing.
pub(crate) async fn play(
    stand: &Stand,
    fault: &Fault,
    profile: Profile,
    seed: u64,
    round: usize,
) -> anyhow::Result<Played> {
    let begun = Instant::now();
    let label = format!("{} {}", fault.code, fault.name);
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
    let mut done = std::mem::take(&mut *lock(&notes));
    done.push(format!("senders saw {}", history.summary()));
    Ok(Played {
        history,
        expected: fault.expected,
        row: Row {
            fault: label,
            recovery_seconds: tenths(recovery),
            seconds: tenths(begun.elapsed()),
            done: done.join("; "),
            seed,
            findings,
            ..Row::default()
        },
    })
}

/// Waits until the mesh is at rest and has the oracle judge what came of each
/// of these faults. Read models are compared with the log once, at the end.
///
/// # Errors
/// When the mesh does not come to rest.
pub(crate) async fn verdicts(stand: &Stand, played: Vec<Played>) -> anyhow::Result<Vec<Row>> {
    let begun = Instant::now();
    let observer = stand.observer().await?;
    let mut world = rest::world(stand, &observer).await?;
    let digests = std::mem::take(&mut world.digests);
    let last = played.len().saturating_sub(1);
    let mut rows = Vec::new();
    for (index, one) in played.into_iter().enumerate() {
        if index == last {
            world.digests.clone_from(&digests);
        }
        rows.push(one.judged(&world));
    }
    if let Some(row) = rows.last_mut() {
        row.seconds += tenths(begun.elapsed());
    }
    Ok(rows)
}

impl Played {
    fn judged(self, world: &World) -> Row {
        let Self {
            history,
            expected,
            mut row,
        } = self;
        let verdict = judge(&history, world);
        if (verdict.lost.len(), verdict.duplicated.len()) != expected {
            let lost = verdict.lost.iter().map(|what| format!("lost: {what}"));
            let twice = verdict.duplicated.iter();
            row.findings
                .extend(lost.chain(twice.map(|what| format!("twice: {what}"))));
            if expected != (0, 0) {
                row.findings
                    .push("the oracle did not find just what was planted".to_owned());
            }
        }
        row.findings.extend(verdict.wrong);
        row.acknowledged = verdict.acknowledged;
        row.applied = verdict.applied;
        row.lost = verdict.lost.len();
        row.duplicated = verdict.duplicated.len();
        row
    }
}

fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
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
