use std::collections::BTreeSet;

use crate::{Finding, Workspace};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const METRICS: &str = "docs/metrics.md";
/// Where each alert is shown to fire.
const SHOWN: &str = "deploy/prometheus/alerts.test.yml";
/// What the exporter makes of one histogram.
const OF_A_HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Every alert names a runbook that tells of it, is shown to fire, and every
/// metric in it is written somewhere and explained.
pub fn alerts(workspace: &Workspace) -> Vec<Finding> {
    let Some(alerts) = text(workspace, ALERTS) else {
        return vec![Finding::new(ALERTS, "is not there".to_owned())];
    };
    let explained = text(workspace, METRICS).unwrap_or_default();
    let written: BTreeSet<&str> = workspace
        .files
        .iter()
        .filter(|file| file.path.ends_with(".rs") && !file.path.starts_with("tests/"))
        .flat_map(|file| metrics(&file.text))
        .collect();
    let mut findings = Vec::new();
    for alert in split(alerts) {
        let runbook = alert
            .lines()
            .find_map(|line| line.trim().strip_prefix("runbook:"))
            .map(str::trim);
        match runbook {
            None => findings.push(Finding::new(
                ALERTS,
                format!("{} names no runbook", name(alert)),
            )),
            Some(path) if !path.starts_with("docs/runbooks/") || !workspace.has_file(path) => {
                findings.push(Finding::new(
                    ALERTS,
                    format!("{} names {path}, which is no runbook", name(alert)),
                ));
            }
            Some(path) => {
                let tells = text(workspace, path).is_some_and(|text| text.contains(name(alert)));
                if !tells {
                    let problem = format!("does not tell of {}", name(alert));
                    findings.push(Finding::new(path, problem));
                }
            }
        }
        if !text(workspace, SHOWN).is_some_and(|shown| shown.contains(name(alert))) {
            findings.push(Finding::new(
                SHOWN,
                format!("does not show {} fire", name(alert)),
            ));
        }
        let used: BTreeSet<&str> = metrics(alert).map(base).collect();
        if used.is_empty() {
            let problem = format!("{} looks at no metric of ours", name(alert));
            findings.push(Finding::new(ALERTS, problem));
        }
        for metric in used {
            if !written.contains(metric) {
                let problem = format!("{} looks at {metric}, which nobody writes", name(alert));
                findings.push(Finding::new(ALERTS, problem));
            }
            if !metrics(explained).any(|known| known == metric) {
                findings.push(Finding::new(METRICS, format!("does not explain {metric}")));
            }
        }
    }
    findings
}

fn text<'a>(workspace: &'a Workspace, path: &str) -> Option<&'a str> {
    let file = workspace.files.iter().find(|file| file.path == path)?;
    Some(&file.text)
}

/// The text of each alert, from its name on.
fn split(alerts: &str) -> impl Iterator<Item = &str> {
    alerts.split("- alert:").skip(1)
}

fn name(alert: &str) -> &str {
    alert.lines().next().unwrap_or_default().trim()
}

/// The names of metrics in a text.
fn metrics(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("agentmesh_") && word.len() > "agentmesh_".len())
}

fn base(metric: &str) -> &str {
    OF_A_HISTOGRAM
        .iter()
        .find_map(|suffix| metric.strip_suffix(suffix))
        .unwrap_or(metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::file;

    const ALERT: &str = "- alert: Late\n  expr: agentmesh_lag_seconds_bucket > 1\n  runbook: docs/runbooks/late.md\n";

    fn with(alerts: &str) -> Workspace {
        Workspace {
            packages: Vec::new(),
            files: vec![
                file(ALERTS, alerts),
                file(SHOWN, "alertname: Late"),
                file("docs/runbooks/late.md", "# Late"),
                file(METRICS, "`agentmesh_lag_seconds`"),
                file("a/src/metric.rs", "\"agentmesh_lag_seconds\""),
            ],
        }
    }

    #[test]
    fn a_whole_alert_is_fine() {
        assert_eq!(alerts(&with(ALERT)), []);
    }

    #[test]
    fn an_alert_without_a_runbook_is_found() {
        assert_eq!(alerts(&with(&ALERT.replace("late.md", "gone.md"))).len(), 1);
        assert_eq!(alerts(&with(&ALERT.replace("runbook:", "see:"))).len(), 1);
    }

    #[test]
    fn an_alert_that_nobody_tells_of_or_shows_is_found() {
        let other = ALERT.replace("alert: Late", "alert: Early");
        assert_eq!(alerts(&with(&other)).len(), 2);
    }

    #[test]
    fn a_metric_that_nobody_writes_is_found() {
        // Neither written nor explained.
        let other = ALERT.replace("lag_seconds", "age_seconds");
        assert_eq!(alerts(&with(&other)).len(), 2);
        assert_eq!(alerts(&with(&ALERT.replace("agentmesh_", "up_"))).len(), 1);
    }
}
