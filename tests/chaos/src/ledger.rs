use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use platform_log::Record;
use serde_json::Value;
use tests_kit::Observer;

/// What one delivery leads to, once: the topic and the event.
pub(crate) const ONCE: [(&str, &str); 8] = [
    ("mesh.deliveries", "DeliveryAccepted"),
    ("mesh.contexts", "ContextShared"),
    ("mesh.workflows", "WorkflowStarted"),
    ("mesh.executions", "ExecutionRequested"),
    ("mesh.results", "ExecutionSucceeded"),
    ("mesh.effects", "EffectRequested"),
    ("mesh.outcomes", "EffectConfirmed"),
    ("mesh.workflows", "WorkflowSucceeded"),
];

/// An event on the log, as readers count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub topic: String,
    pub partition: i32,
    pub name: String,
    pub correlation: String,
}

/// The log by readers' rules: a repeated event id is one event, and of two
/// events at one position of a stream the first one stands.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Each partition's in order.
    pub facts: Vec<Fact>,
    /// Records that readers drop.
    pub dropped: usize,
    ids: BTreeSet<String>,
    positions: BTreeSet<(String, String, String)>,
}

impl Ledger {
    /// Reads the whole log.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub async fn read(observer: &Observer) -> anyhow::Result<Self> {
        let mut ledger = Self::default();
        let topics: BTreeSet<&str> = ONCE.iter().map(|(topic, _)| *topic).collect();
        for topic in topics {
            let mut records = observer
                .topic(topic)
                .await
                .with_context(|| topic.to_owned())?;
            records.sort_by_key(|record| (record.partition, record.offset));
            for record in &records {
                ledger.enter(record);
            }
        }
        Ok(ledger)
    }

    fn enter(&mut self, record: &Record) {
        // What is not an event is for the dead letters.
        let (Ok(name), Some(id)) = (record.event_name(), record.header("ce_id")) else {
            return;
        };
        let header = |name| record.header(name).unwrap_or_default().to_owned();
        let position = (
            record.topic.clone(),
            header("ce_subject"),
            header("mesh-version"),
        );
        if !self.ids.insert(format!("{}/{id}", record.topic)) || !self.positions.insert(position) {
            self.dropped += 1;
            return;
        }
        self.facts.push(Fact {
            topic: record.topic.clone(),
            partition: record.partition,
            name: name.to_owned(),
            correlation: header("mesh-correlation"),
        });
    }

    /// How often each delivery led to this event.
    pub fn counts<'a>(&'a self, topic: &'a str, name: &'a str) -> BTreeMap<&'a str, usize> {
        let mut counts = BTreeMap::new();
        for fact in self.of(topic, name) {
            *counts.entry(fact.correlation.as_str()).or_default() += 1;
        }
        counts
    }

    pub fn of<'a>(&'a self, topic: &'a str, name: &'a str) -> impl Iterator<Item = &'a Fact> {
        self.facts
            .iter()
            .filter(move |fact| fact.topic == topic && fact.name == name)
    }
}

/// One write to a record, by the CRM's own journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub external_id: String,
    pub subject: String,
    pub archived: bool,
}

/// All writes in order.
///
/// # Errors
/// When a line of the journal is not JSON.
pub(crate) fn writes(journal: &str) -> anyhow::Result<Vec<Write>> {
    let mut writes = Vec::new();
    for line in journal.lines() {
        let change: Value = serde_json::from_str(line)?;
        let record = &change["record"];
        let text = |name: &str| record["properties"][name].as_str().map(str::to_owned);
        if let (Some(external_id), Some(subject)) = (text("agentmesh_id"), text("subject")) {
            writes.push(Write {
                external_id,
                subject,
                archived: record["archived"].as_bool().unwrap_or(false),
            });
        }
    }
    Ok(writes)
}
