//! `agentmesh trace`: what followed from one webhook, as a tree of causes.

use std::collections::HashMap;
use std::io::{Write, stdout};
use std::path::Path;

use domain_kernel::{CorrelationId, EventId};
use platform_postgres::Pool;
use projections_audit::Entry;
use serde_json::Value;

use crate::exit::NotFound;
use crate::settings;

/// Prints every event of one correlation, each under the event that caused it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As the gateway answered it.
    correlation_id: CorrelationId,
    /// One JSON array of events, causes first.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: Option<&Path>, args: Args) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _telemetry = settings::quiet_telemetry(&settings)?;
    let pool = Pool::connect(&settings.postgres)?;
    let entries = projections_audit::by_correlation(&pool, args.correlation_id).await?;
    if entries.is_empty() {
        return Err(NotFound(format!(
            "no event has the correlation id {}",
            args.correlation_id
        ))
        .into());
    }
    let mut out = stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &entries)?;
        writeln!(out)?;
    } else {
        for line in tree(&entries) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// The lines of the tree. An event whose cause is not among the entries is a root.
fn tree(entries: &[Entry]) -> Vec<String> {
    let known: HashMap<EventId, usize> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry.event_id, index))
        .collect();
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let cause = entry
            .causation
            .and_then(|cause| known.get(&cause).copied())
            // A cause that comes later would make a circle of a damaged trail.
            .filter(|cause| *cause < index);
        children.entry(cause).or_default().push(index);
    }
    let start = entries
        .iter()
        .map(|entry| entry.at.as_micros())
        .min()
        .unwrap_or_default();
    let mut lines = Vec::new();
    // A stack and not recursion: chains are as long as workflows are.
    let mut stack: Vec<(usize, String, String)> = Vec::new();
    push_children(&mut stack, &children, None, "");
    while let Some((index, lead, below)) = stack.pop() {
        let entry = &entries[index];
        let after = (entry.at.as_micros() - start) as f64 / 1_000.0;
        lines.push(format!(
            "{after:>10.1} ms  {lead}{} {}  [{} {}/{}]",
            entry.name,
            gist(entry),
            entry.topic,
            entry.partition,
            entry.offset
        ));
        push_children(&mut stack, &children, Some(index), &below);
    }
    lines
}

fn push_children(
    stack: &mut Vec<(usize, String, String)>,
    children: &HashMap<Option<usize>, Vec<usize>>,
    parent: Option<usize>,
    indent: &str,
) {
    let Some(indexes) = children.get(&parent) else {
        return;
    };
    let last = indexes.len().saturating_sub(1);
    for (position, index) in indexes.iter().enumerate().rev() {
        let (branch, below) = match (parent, position == last) {
            (None, _) => ("", ""),
            (Some(_), true) => ("└─ ", "   "),
            (Some(_), false) => ("├─ ", "│  "),
        };
        stack.push((
            *index,
            format!("{indent}{branch}"),
            format!("{indent}{below}"),
        ));
    }
}

/// The few fields that tell events of one kind apart.
fn gist(entry: &Entry) -> String {
    let names = [
        "source_id",
        "reason",
        "path",
        "allow",
        "subscriber",
        "definition_id",
        "step",
        "agent_id",
        "tool",
        "connector_id",
        "operation",
        "external_id",
        "remote_id",
        "evidence",
        "attempt",
        "code",
        "cosine",
    ];
    let facts: Vec<_> = names
        .iter()
        .filter_map(|name| match &entry.body[*name] {
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            Value::String(text) => Some(format!("{name}={text}")),
            value => Some(format!("{name}={value}")),
        })
        .collect();
    facts.join(" ")
}

#[cfg(test)]
mod tests {
    use domain_kernel::{TenantId, Timestamp};
    use serde_json::json;

    use super::*;

    fn entry(name: &str, cause: Option<&str>, at_ms: i64) -> Entry {
        Entry {
            event_id: EventId::derive(&[name]),
            topic: "mesh.t".to_owned(),
            partition: 0,
            offset: at_ms,
            name: name.to_owned(),
            stream: name.to_owned(),
            version: 1,
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::derive(&["c"]),
            causation: cause.map(|cause| EventId::derive(&[cause])),
            at: Timestamp::from_millis(at_ms),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
            body: json!({ "step": name }),
            value_sha256: String::new(),
        }
    }

    #[test]
    fn each_event_stands_under_its_cause() {
        let lines = tree(&[
            entry("A", None, 0),
            entry("B", Some("A"), 1),
            entry("C", Some("B"), 2),
            entry("D", Some("A"), 3),
            entry("E", Some("elsewhere"), 4),
        ]);
        let shape: Vec<_> = lines
            .iter()
            .map(|line| {
                line.split("ms  ")
                    .nth(1)
                    .unwrap()
                    .split(" step")
                    .next()
                    .unwrap()
            })
            .collect();
        assert_eq!(shape, ["A", "├─ B", "│  └─ C", "└─ D", "E"]);
    }
}
