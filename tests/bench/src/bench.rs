use std::time::Instant;

use anyhow::ensure;
use clap::{Args, ValueEnum};

use crate::bed::{Servers, workspace};
use crate::harness::{Machine, Report, publish};
use crate::rows::SETS;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// Only whether it works.
    Tiny,
    /// All rows in a quarter of an hour on two quiet cores.
    Default,
    /// Up to ten million events.
    Full,
}

impl Size {
    pub(crate) const fn pick(self, tiny: usize, default: usize, full: usize) -> usize {
        match self {
            Self::Tiny => tiny,
            Self::Default => default,
            Self::Full => full,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these rows, separated by commas.
    #[arg(long, env = "ONLY", value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, env = "SIZE", value_enum, default_value = "default")]
    size: Size,
    /// Rounds of A B B A for each row.
    #[arg(long, env = "ROUNDS", default_value_t = 5)]
    rounds: usize,
    /// Puts the table into docs/BENCHMARKS.md.
    #[arg(long)]
    publish: bool,
    /// Lists the rows and measures nothing.
    #[arg(long)]
    list: bool,
}

/// What every row needs to know.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) servers: Servers,
    pub(crate) size: Size,
    pub(crate) rounds: usize,
    only: Vec<String>,
}

impl Bench {
    /// Whether a row was asked for; all are when none is named. `G2` stands for
    /// all that begin so.
    pub(crate) fn wants(&self, id: &str) -> bool {
        wanted(&self.only, id)
    }
}

fn wanted(only: &[String], id: &str) -> bool {
    let mut named = only.iter().filter(|name| !name.is_empty()).peekable();
    named.peek().is_none() || named.any(|name| id.starts_with(name.as_str()))
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    if options.list {
        for id in SETS.iter().flat_map(|set| set.ids) {
            println!("{id}");
        }
        return Ok(());
    }
    let sets: Vec<_> = SETS
        .iter()
        .filter(|set| set.ids.iter().any(|id| wanted(&options.only, id)))
        .collect();
    ensure!(
        !sets.is_empty(),
        "there are no such rows: {:?}",
        options.only
    );
    let machine = Machine::look();
    let begun = Instant::now();
    let bench = Bench {
        servers: Servers::start().await?,
        size: options.size,
        rounds: options.rounds.max(1),
        only: options.only.clone(),
    };
    let mut report = Report {
        machine,
        size: format!("{:?}", options.size).to_lowercase(),
        seconds: 0,
        rows: Vec::new(),
        failed: Vec::new(),
    };
    for set in sets {
        let names: Vec<&str> = set
            .ids
            .iter()
            .copied()
            .filter(|id| bench.wants(id))
            .collect();
        let started = Instant::now();
        match (set.measure)(&bench).await {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => report.failed.extend(
                names
                    .iter()
                    .map(|id| ((*id).to_owned(), format!("{error:#}"))),
            ),
        }
        eprintln!(
            "{}: {:.0} s",
            names.join(", "),
            started.elapsed().as_secs_f64()
        );
        for row in report
            .rows
            .iter()
            .filter(|row| names.contains(&row.id.as_str()))
        {
            eprintln!("  {} {:.3} ({})", row.id, row.estimate.median, row.figures);
        }
        // What there is so far is not lost with what comes.
        report.seconds = begun.elapsed().as_secs();
        report.write(&workspace().join("target/bench/report.json"))?;
    }
    let Bench { servers, .. } = bench;
    servers.stop().await?;
    let table = report.to_markdown();
    println!("{table}");
    if options.publish {
        publish(&workspace().join("docs/BENCHMARKS.md"), &table)?;
    }
    ensure!(
        report.failed.is_empty(),
        "{} rows could not be measured",
        report.failed.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_whole_or_by_their_beginning() {
        let only = ["G2a".to_owned(), "S3".to_owned()];
        assert!(wanted(&only, "G2a") && wanted(&only, "S3-memory"));
        assert!(!wanted(&only, "G2b"));
        assert!(wanted(&[], "G2b") && wanted(&[String::new()], "G2b"));
    }
}
