use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Machine, Row};

const BEGIN: &str = "<!-- make bench: begin -->";
const END: &str = "<!-- make bench: end -->";

/// What one run found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) size: String,
    pub(crate) seconds: u64,
    pub(crate) rows: Vec<Row>,
    /// Rows that could not be measured, and why.
    pub(crate) failed: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "id": row.id,
                    "what": row.what,
                    "ratio": rounded(row.estimate.median),
                    "low": rounded(row.estimate.low),
                    "high": rounded(row.estimate.high),
                    "goal": row.goal.to_string(),
                    "met": row.goal.is_met(row.estimate.median),
                    "figures": row.figures,
                    "twin": row.twin,
                })
            })
            .collect();
        let failed: Vec<Value> = self
            .failed
            .iter()
            .map(|(id, why)| json!({"id": id, "why": why}))
            .collect();
        json!({
            "machine": self.machine,
            "size": self.size,
            "seconds": self.seconds,
            "rows": rows,
            "failed": failed,
        })
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!(
            "Measured on {}; size `{}`, {} s in all.\n\n\
             | # | what | ratio | 95 % interval | goal | met | ours vs peer | checked |\n\
             |---|---|---|---|---|---|---|---|\n",
            self.machine, self.size, self.seconds
        );
        for row in &self.rows {
            let met = match row.goal {
                super::Goal::Shown => "-",
                goal if goal.is_met(row.estimate.median) => "yes",
                _ => "**no**",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} to {} | {} | {met} | {} | {} |",
                row.id,
                row.what,
                shown(row.estimate.median),
                shown(row.estimate.low),
                shown(row.estimate.high),
                row.goal,
                row.figures,
                row.twin
            );
        }
        for (id, why) in &self.failed {
            let _ = writeln!(text, "| {id} | not measured: {why} | | | | **no** | | |");
        }
        text
    }

    /// Leaves the report where others look for it.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string_pretty(&self.to_json())?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// Puts the table between the markers of a document.
pub(crate) fn publish(document: &Path, table: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(document)
        .with_context(|| format!("{} cannot be read", document.display()))?;
    std::fs::write(document, between_markers(&text, table)?)?;
    Ok(())
}

fn between_markers(text: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .context("the first marker is missing")?;
    let (_, after) = rest
        .split_once(END)
        .context("the second marker is missing")?;
    ensure!(!after.contains(BEGIN), "the markers are there twice");
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        table.trim_end()
    ))
}

fn rounded(figure: f64) -> f64 {
    if figure.abs() < 1.0 {
        (figure * 10_000.0).round() / 10_000.0
    } else {
        (figure * 100.0).round() / 100.0
    }
}

fn shown(figure: f64) -> String {
    if figure.abs() < 0.1 {
        format!("{figure:.4}")
    } else {
        format!("{figure:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Goal, Pairs};

    #[test]
    fn the_table_stands_between_its_markers() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let published = between_markers(&text, "| new |\n").unwrap();
        assert_eq!(
            published,
            format!("above\n{BEGIN}\n\n| new |\n\n{END}\nbelow\n")
        );
        assert_eq!(between_markers(&published, "| new |").unwrap(), published);
        assert!(between_markers("no markers", "x").is_err());
    }

    #[test]
    fn a_row_is_reported_in_the_agreed_shape() {
        let mut pairs = Pairs::new("rows/s");
        pairs.push(81.0, 100.0);
        let report = Report {
            machine: Machine::look(),
            size: "default".to_owned(),
            seconds: 1,
            rows: vec![Row::new("G2a", "x", Goal::AtLeast(0.75), &pairs, "digest").unwrap()],
            failed: Vec::new(),
        };
        let row = &report.to_json()["rows"][0];
        assert_eq!(row["id"], "G2a");
        assert_eq!(
            (&row["ratio"], &row["low"], &row["high"]),
            (&json!(0.81), &json!(0.81), &json!(0.81))
        );
        assert_eq!(
            (&row["goal"], &row["met"]),
            (&json!(">= 0.75"), &json!(true))
        );
        assert_eq!(row["twin"], "digest");
        assert!(report.to_markdown().contains("| G2a | x | 0.81 |"));
    }
}
