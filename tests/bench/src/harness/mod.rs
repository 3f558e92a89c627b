//! How things are compared: in turns A B B A, in one run, as ratios.

mod machine;
mod report;
mod stats;

use std::time::{Duration, Instant};

use anyhow::Context as _;

pub(crate) use machine::Machine;
pub(crate) use report::{Report, publish};
pub(crate) use stats::{Estimate, median, quantile};

/// What a ratio should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// For the reader only.
    Shown,
}

impl Goal {
    pub(crate) fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(goal) => ratio >= goal,
            Self::AtMost(goal) => ratio <= goal,
            Self::Shown => true,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, ">= {goal}"),
            Self::AtMost(goal) => write!(f, "<= {goal}"),
            Self::Shown => f.write_str("-"),
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// What is divided by what.
    pub(crate) what: String,
    pub(crate) goal: Goal,
    pub(crate) estimate: Estimate,
    /// The medians of both sides with their unit, for the reader.
    pub(crate) figures: String,
    /// What was checked for correctness.
    pub(crate) twin: String,
}

impl Row {
    pub(crate) fn new(
        id: &str,
        what: &str,
        goal: Goal,
        pairs: &Pairs,
        twin: impl Into<String>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            what: what.to_owned(),
            goal,
            estimate: Estimate::of(&pairs.ratios).context("no round was measured")?,
            figures: pairs.figures(),
            twin: twin.into(),
        })
    }
}

/// Figures of both sides, round by round. A ratio is ours divided by the peer's.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pairs {
    pub(crate) ratios: Vec<f64>,
    ours: Vec<f64>,
    peers: Vec<f64>,
    unit: &'static str,
}

impl Pairs {
    pub(crate) fn new(unit: &'static str) -> Self {
        Self {
            unit,
            ..Self::default()
        }
    }

    /// Adds a round: what both sides showed in it.
    pub(crate) fn push(&mut self, ours: f64, peer: f64) {
        self.ratios.push(ours / peer);
        self.ours.push(ours);
        self.peers.push(peer);
    }

    fn figures(&self) -> String {
        let [ours, peer] = [&self.ours, &self.peers].map(|side| median(side.clone()));
        format!("{} vs {} {}", readable(ours), readable(peer), self.unit)
    }
}

/// Measures `peer` (A) and `ours` (B) in turns A B B A, `rounds` times, after one
/// turn of each that does not count.
pub(crate) async fn in_turns(
    unit: &'static str,
    rounds: usize,
    mut peer: impl AsyncFnMut() -> anyhow::Result<f64>,
    mut ours: impl AsyncFnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Pairs> {
    peer().await?;
    ours().await?;
    let mut pairs = Pairs::new(unit);
    for _ in 0..rounds {
        let first = peer().await?;
        let second = ours().await? + ours().await?;
        let last = peer().await?;
        pairs.push(second / 2.0, f64::midpoint(first, last));
    }
    Ok(pairs)
}

/// `count` things in this time, per second.
pub(crate) fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// Runs a piece of work and answers how many of `count` it did in a second.
pub(crate) async fn timed<T>(
    count: usize,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    work.await?;
    Ok(rate(count, started.elapsed()))
}

/// Three significant digits, thousands apart.
pub(crate) fn readable(figure: f64) -> String {
    match figure.abs() {
        large if large >= 10_000.0 => format!("{:.0}k", figure / 1_000.0),
        large if large >= 1_000.0 => format!("{:.1}k", figure / 1_000.0),
        middle if middle >= 100.0 => format!("{figure:.0}"),
        small if small >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sides_take_turns_and_the_first_does_not_count() {
        let log = std::cell::RefCell::new(String::new());
        let pairs = in_turns(
            "x/s",
            2,
            async || {
                log.borrow_mut().push('A');
                Ok(2.0)
            },
            async || {
                log.borrow_mut().push('B');
                Ok(3.0)
            },
        )
        .await
        .unwrap();
        assert_eq!(log.into_inner(), "ABABBAABBA");
        assert_eq!(pairs.ratios, [1.5, 1.5]);
        assert_eq!(pairs.figures(), "3.00 vs 2.00 x/s");
    }

    #[test]
    fn goals_bound_from_either_side() {
        assert!(Goal::AtLeast(0.75).is_met(0.75) && !Goal::AtLeast(0.75).is_met(0.7));
        assert!(Goal::AtMost(1.5).is_met(1.5) && !Goal::AtMost(1.5).is_met(1.6));
        assert_eq!(Goal::AtLeast(0.75).to_string(), ">= 0.75");
    }
}
