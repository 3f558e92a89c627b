use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// One fault, as it went.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// As in RELIABILITY.md, with what was done: `F6 broker killed`.
    pub fault: String,
    pub acknowledged: usize,
    pub applied: usize,
    pub lost: usize,
    pub duplicated: usize,
    /// From the end of the fault until everything acknowledged was applied.
    pub recovery_seconds: f64,
    /// All of it, the fault and the verdict included.
    pub seconds: f64,
    /// What was done and what senders saw of it.
    pub done: String,
    /// With this seed it is done again.
    pub seed: u64,
    /// Why it was not done, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Everything that must not be, in words. Empty when all is well.
    pub findings: Vec<String>,
}

impl Row {
    pub fn skipped(fault: String, seed: u64, why: String) -> Self {
        Self {
            fault,
            seed,
            skipped: Some(why),
            ..Self::default()
        }
    }

    /// For the terminal.
    pub fn line(&self) -> String {
        if let Some(why) = &self.skipped {
            return format!("skip  {:<34} {why}", self.fault);
        }
        let state = if self.findings.is_empty() {
            "ok"
        } else {
            "BAD"
        };
        let mut line = format!(
            "{state:<5} {:<34} acknowledged {:>4}  applied {:>4}  lost {}  duplicated {}  recovery {:>5.1} s of {:>5.1} s  seed {}  {}",
            self.fault,
            self.acknowledged,
            self.applied,
            self.lost,
            self.duplicated,
            self.recovery_seconds,
            self.seconds,
            self.seed,
            self.done
        );
        for finding in &self.findings {
            let _ = write!(line, "\n      {finding}");
        }
        line
    }
}

/// All faults of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub profile: String,
    pub seed: u64,
    pub machine: String,
    pub seconds: f64,
    pub rows: Vec<Row>,
}

const BEGIN: &str = "<!-- chaos:begin, written by `make chaos-publish` -->";
const END: &str = "<!-- chaos:end -->";

impl Report {
    pub fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| row.findings.is_empty())
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, target: &Path) -> anyhow::Result<PathBuf> {
        let path = target.join("chaos/report.json");
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    /// For documents. Repeated faults are added up; of their recoveries the
    /// longest is shown.
    pub fn table(&self) -> String {
        let mut rows: Vec<(Row, usize)> = Vec::new();
        for row in &self.rows {
            match rows.iter_mut().find(|(known, _)| known.fault == row.fault) {
                Some((known, times)) => {
                    known.acknowledged += row.acknowledged;
                    known.applied += row.applied;
                    known.lost += row.lost;
                    known.duplicated += row.duplicated;
                    known.recovery_seconds = known.recovery_seconds.max(row.recovery_seconds);
                    *times += 1;
                }
                None => rows.push((row.clone(), 1)),
            }
        }
        let mut table = format!(
            "Profile {}, seed {}, {:.0} s, on {}.\n\n\
             | fault | times | acknowledged | applied | lost | duplicated | longest recovery |\n\
             |---|--:|--:|--:|--:|--:|--:|\n",
            self.profile, self.seed, self.seconds, self.machine
        );
        for (row, times) in rows {
            let _ = match row.skipped {
                Some(why) => writeln!(table, "| {} | skipped: {why} | | | | | |", row.fault),
                None => writeln!(
                    table,
                    "| {} | {times} | {} | {} | {} | {} | {:.1} s |",
                    row.fault,
                    row.acknowledged,
                    row.applied,
                    row.lost,
                    row.duplicated,
                    row.recovery_seconds
                ),
            };
        }
        table
    }

    /// Puts the table into a document, between its marks.
    ///
    /// # Errors
    /// When the document has no such marks, or cannot be written.
    pub fn publish(&self, document: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(document)?;
        std::fs::write(document, between_marks(&text, &self.table())?)?;
        Ok(())
    }
}

fn between_marks(text: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("no mark to begin at")?;
    let (_, after) = rest.split_once(END).context("no mark to end at")?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

/// Cores, memory and kernel.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let model = field(&cpuinfo, "model name").unwrap_or_else(|| "an unnamed CPU".to_owned());
    let kilobytes = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|value| value.split(' ').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores of {model}, {} GiB, Linux {}",
        kilobytes.div_ceil(1 << 20),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row(fault: &str, recovery_seconds: f64) -> Row {
        Row {
            skipped: None,
            acknowledged: 10,
            applied: 10,
            recovery_seconds,
            ..Row::skipped(fault.to_owned(), 1, String::new())
        }
    }

    #[test]
    fn a_table_adds_up_what_was_repeated_and_goes_between_its_marks() {
        let report = Report {
            profile: "long".to_owned(),
            seed: 1,
            machine: "a machine".to_owned(),
            seconds: 10.0,
            rows: vec![
                row("F3", 1.0),
                row("F3", 2.5),
                Row::skipped("F8".to_owned(), 1, "not root".to_owned()),
            ],
        };
        let table = report.table();
        assert!(
            table.contains("| F3 | 2 | 20 | 20 | 0 | 0 | 2.5 s |"),
            "{table}"
        );
        assert!(table.contains("| F8 | skipped: not root |"), "{table}");
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = between_marks(&text, &table).unwrap();
        assert!(once.starts_with("before\n") && once.ends_with("\nafter\n"));
        assert!(!once.contains("old"));
        assert_eq!(between_marks(&once, &table).unwrap(), once);
        assert!(between_marks("no marks", &table).is_err());
    }

    #[test]
    fn a_finding_stands_below_its_line() {
        let mut bad = row("F3", 1.0);
        bad.findings
            .push("a no. 1 has no WorkflowStarted".to_owned());
        assert!(bad.line().starts_with("BAD"));
        assert!(
            bad.line()
                .ends_with("\n      a no. 1 has no WorkflowStarted")
        );
    }
}
