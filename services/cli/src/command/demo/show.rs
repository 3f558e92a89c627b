//! The demo on a terminal, with a spinner, or as plain lines anywhere else.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::steps::Step;

pub(super) struct Show {
    /// Only on a terminal.
    spinner: Option<ProgressBar>,
}

impl Show {
    pub(super) fn start() -> Self {
        let spinner = stdout().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(80));
            spinner
        });
        Self { spinner }
    }

    /// What is being waited for; seen on a terminal only.
    pub(super) fn working(&mut self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.to_owned());
        }
    }

    pub(super) fn note(&mut self, text: &str) -> anyhow::Result<()> {
        self.line(text)
    }

    pub(super) fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        let took = step
            .took_ms
            .map_or_else(String::new, |ms| format!("{ms:.1} ms"));
        self.line(&format!(
            "[{:>2}] {:<28} {:>9}  {}",
            step.number, step.title, took, step.what
        ))?;
        self.line(&format!("{:46}{}", "", step.stored))
    }

    pub(super) fn record(&mut self, url: &str, record: &Value) -> anyhow::Result<()> {
        self.line("")?;
        self.line(&format!("the customer record at {url}"))?;
        let empty = serde_json::Map::new();
        for (name, value) in record["properties"].as_object().unwrap_or(&empty) {
            let text = value
                .as_str()
                .unwrap_or_default()
                .replace('\n', "\n                          ");
            self.line(&format!("    {name:<20}  {text}"))?;
        }
        Ok(())
    }

    pub(super) fn next(&mut self, hints: &[(&str, String)]) -> anyhow::Result<()> {
        self.line("")?;
        self.line("what to look at next")?;
        for (what, command) in hints {
            self.line(&format!("    {what}"))?;
            self.line(&format!("        {command}"))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| writeln!(stdout(), "{text}"))?,
            None => writeln!(stdout(), "{text}")?,
        }
        Ok(())
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
