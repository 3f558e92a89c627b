use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use platform_testkit::workspace_dir;

use crate::faults::ALL;
use crate::report::machine;
use crate::scene::Played;
use crate::{Dice, Fault, Profile, Report, Row, Stand, scene};

/// The seed of the short profile: the same faults in the same way each time.
const FIXED: u64 = 20_261_126;

/// Breaks things under load and tells what came of it: one line a fault, and
/// target/chaos/report.json. Ends with 1 when anything was lost or came twice.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chaos")]
pub struct Options {
    /// A fault of each kind once, with a fixed seed, in a few minutes
    #[arg(long, conflicts_with = "minutes")]
    pub short: bool,
    /// All faults again and again, with random seeds, for so long, but each at least once
    #[arg(long, default_value_t = 30, env = "MINUTES")]
    pub minutes: u64,
    /// Draw from this seed, as a former run printed it
    #[arg(long, env = "SEED")]
    pub seed: Option<u64>,
    /// Only faults with this code or this text in their name; once each
    #[arg(long, env = "FAULT")]
    pub fault: Vec<String>,
    /// Put the table into docs/RELIABILITY.md
    #[arg(long)]
    pub publish: bool,
    /// List the faults and do nothing
    #[arg(long)]
    pub list: bool,
}

impl Options {
    fn chosen(&self) -> anyhow::Result<Vec<&'static Fault>> {
        // An empty variable stands for none.
        let wanted: Vec<&String> = self.fault.iter().filter(|text| !text.is_empty()).collect();
        let chosen: Vec<&Fault> = ALL
            .iter()
            .filter(|fault| {
                let label = format!("{} {}", fault.code, fault.name);
                wanted.is_empty() && !(self.short && fault.only_long)
                    || wanted
                        .iter()
                        .any(|text| fault.code == text.as_str() || label.contains(text.as_str()))
            })
            .collect();
        ensure!(!chosen.is_empty(), "no fault is called {wanted:?}");
        Ok(chosen)
    }
}

/// Runs what was asked for.
///
/// # Errors
/// When the stand does not come up, or a fault leaves it beyond use.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let faults = options.chosen()?;
    let profile = if options.short {
        Profile::Short
    } else {
        Profile::Long
    };
    let seed = match options.seed {
        Some(seed) => seed,
        None if options.short => FIXED,
        None => random(),
    };
    let mut report = Report {
        profile: profile.name().to_owned(),
        seed,
        machine: machine(),
        seconds: 0.0,
        rows: Vec::new(),
    };
    if options.list {
        for fault in faults {
            say(&format!("{:<4} {}", fault.code, fault.name))?;
        }
        return Ok(report);
    }
    say(&format!(
        "chaos: profile {}, seed {seed}, {}",
        profile.name(),
        report.machine
    ))?;
    let stand = Stand::start(seed).await?;
    say(&format!(
        "a mesh over three brokers, up in {:.0} s",
        begun.elapsed().as_secs_f64()
    ))?;
    let played = all(options, &faults, profile, &stand, &mut report, begun).await;
    if played.is_err() {
        let logs = target().join("chaos").join("logs");
        match stand.keep_logs(&logs) {
            Ok(()) => say(&format!("the logs are kept in {}", logs.display()))?,
            Err(error) => say(&format!("the logs are lost: {error:#}"))?,
        }
    }
    let stopped = stand.stop().await;
    report.seconds = begun.elapsed().as_secs_f64();
    let path = report.save(&target())?;
    played?;
    stopped?;
    say(&format!("written to {}", path.display()))?;
    if options.publish {
        report.publish(&workspace_dir().join("docs/RELIABILITY.md"))?;
    }
    Ok(report)
}

/// So many faults of a long run are judged together: to hold the read models
/// against the whole log takes longer than most of them.
const TOGETHER: usize = 5;

/// All faults that were asked for, as often as was asked, and judged: those of
/// a short run together, those of a long one a few at a time.
async fn all(
    options: &Options,
    faults: &[&Fault],
    profile: Profile,
    stand: &Stand,
    report: &mut Report,
    begun: Instant,
) -> anyhow::Result<()> {
    // A fault that is asked for by name has the seed that was given, so that one
    // of many is done again.
    let alone = faults.len() == 1 || options.seed.is_some() && !options.fault.is_empty();
    let once = options.short || !options.fault.is_empty();
    let end = begun + Duration::from_secs(options.minutes * 60);
    let mut dice = Dice::of(report.seed, "seeds");
    let together = if options.short { usize::MAX } else { TOGETHER };
    let mut open = Vec::new();
    'rounds: for round in 0.. {
        for fault in faults {
            // However slow the machine is, the first round has each of them.
            if !once && round > 0 && Instant::now() >= end {
                break 'rounds;
            }
            let drawn = dice.roll() >> 16;
            let seed = if alone { report.seed } else { drawn };
            let label = format!("{} {}", fault.code, fault.name);
            if let Some(why) = fault.needs.and_then(|needs| needs(stand)) {
                keep(report, Row::skipped(label, seed, why), begun)?;
                continue;
            }
            let useless = || format!("{label} with seed {seed} left the mesh beyond use");
            let played = scene::play(stand, fault, profile, seed, round)
                .await
                .with_context(useless)?;
            let row = &played.row;
            say(&format!(
                "      {label}: {:.1} s, recovered in {:.1} s",
                row.seconds, row.recovery_seconds
            ))?;
            open.push(played);
            if open.len() >= together {
                judge(stand, std::mem::take(&mut open), report, begun).await?;
            }
        }
        if once {
            break;
        }
    }
    judge(stand, open, report, begun).await
}

/// Has what was played judged, if anything was.
async fn judge(
    stand: &Stand,
    played: Vec<Played>,
    report: &mut Report,
    begun: Instant,
) -> anyhow::Result<()> {
    if played.is_empty() {
        return Ok(());
    }
    for row in scene::verdicts(stand, played).await? {
        keep(report, row, begun)?;
    }
    Ok(())
}

/// Prints a row and writes down what there is up to now.
fn keep(report: &mut Report, row: Row, begun: Instant) -> anyhow::Result<()> {
    say(&row.line())?;
    report.rows.push(row);
    report.seconds = begun.elapsed().as_secs_f64();
    report.save(&target())?;
    Ok(())
}

fn target() -> PathBuf {
    workspace_dir().join("target")
}

fn random() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Dice::new(now.map_or(0, |now| now.as_secs())).roll() >> 16
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
