//! The one judge of all faults. Pure, so that it can be shown to find what it
//! is there to find.

use std::collections::{BTreeMap, HashMap};

use crate::ledger::{ONCE, Write};
use crate::load::subject;
use crate::{Delivery, History, Ledger};

/// What the mesh is found to hold when all is quiet.
#[derive(Debug, Default)]
pub struct World {
    pub ledger: Ledger,
    /// By the journal of the CRM sandbox, in order.
    pub writes: Vec<Write>,
    /// Of each read model: its digest as it stands, and after a full replay.
    pub digests: Vec<Digests>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    pub read_model: String,
    pub live: String,
    pub replayed: String,
}

/// What became of the deliveries of one fault.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    /// Of those, how many were handled to their end.
    pub applied: usize,
    pub lost: Vec<String>,
    pub duplicated: Vec<String>,
    /// Whatever else must not be.
    pub wrong: Vec<String>,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.wrong.is_empty()
    }
}

/// Acknowledged ⊆ applied; no effect twice; order per key; what read models
/// show is what the log says.
pub fn judge(history: &History, world: &World) -> Verdict {
    let mut verdict = Verdict::default();
    let counts: Vec<_> = ONCE
        .iter()
        .map(|(topic, name)| (*name, world.ledger.counts(topic, name)))
        .collect();
    let written = written(&world.writes);
    for delivery in &history.deliveries {
        verdict.wrong.extend(delivery.complaints.iter().cloned());
        judge_one(delivery, &counts, &written, &mut verdict);
    }
    order_of_keys(history, world, &mut verdict);
    order_of_writes(history, world, &mut verdict);
    for digests in &world.digests {
        if digests.live != digests.replayed {
            verdict.wrong.push(format!(
                "{} held {} and holds {} after a replay",
                digests.read_model, digests.live, digests.replayed
            ));
        }
    }
    verdict
}

fn judge_one(
    delivery: &Delivery,
    counts: &[(&str, BTreeMap<&str, usize>)],
    written: &HashMap<(&str, &str), usize>,
    verdict: &mut Verdict,
) {
    let correlation = delivery.correlation();
    let record = delivery.ticket.id.as_str();
    let subject = delivery.ticket.subject.as_str();
    let writes = written.get(&(record, subject)).copied().unwrap_or(0);
    let mut missing = Vec::new();
    for (name, counts) in counts {
        match counts.get(correlation.as_str()).copied().unwrap_or(0) {
            0 => missing.push(*name),
            1 => {}
            more => verdict
                .duplicated
                .push(format!("{more} × {name} of {subject}")),
        }
    }
    match writes {
        0 => missing.push("the write to the CRM"),
        1 => {}
        more => verdict
            .duplicated
            .push(format!("{more} writes to the CRM of {subject}")),
    }
    if delivery.acknowledged.is_none() {
        return;
    }
    verdict.acknowledged += 1;
    if missing.is_empty() {
        verdict.applied += 1;
    } else {
        verdict
            .lost
            .push(format!("{subject} has no {}", missing.join(", ")));
    }
}

/// How often each state of each record was written.
fn written(writes: &[Write]) -> HashMap<(&str, &str), usize> {
    let mut counts = HashMap::new();
    for write in writes.iter().filter(|write| !write.archived) {
        *counts
            .entry((write.external_id.as_str(), write.subject.as_str()))
            .or_default() += 1;
    }
    counts
}

/// A sender that waits for each acknowledgement finds its deliveries, and what
/// was shared of them, on the log in that order.
fn order_of_keys(history: &History, world: &World, verdict: &mut Verdict) {
    let sent: HashMap<String, &Delivery> = history
        .deliveries
        .iter()
        .map(|delivery| (delivery.correlation(), delivery))
        .collect();
    for (topic, name) in [
        ("mesh.deliveries", "DeliveryAccepted"),
        ("mesh.contexts", "ContextShared"),
    ] {
        let mut last: HashMap<&str, usize> = HashMap::new();
        for fact in world.ledger.of(topic, name) {
            let Some(delivery) = sent.get(&fact.correlation) else {
                continue;
            };
            let before = last.insert(delivery.key.as_str(), delivery.number);
            if before.is_some_and(|before| before > delivery.number) {
                verdict.wrong.push(format!(
                    "{name} of {} stands behind that of its successor",
                    delivery.ticket.subject
                ));
            }
        }
    }
}

/// The writes to one record are made in the order they were asked for.
fn order_of_writes(history: &History, world: &World, verdict: &mut Verdict) {
    let sent: HashMap<String, &Delivery> = history
        .deliveries
        .iter()
        .map(|delivery| (delivery.correlation(), delivery))
        .collect();
    let mut asked: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for fact in world.ledger.of("mesh.effects", "EffectRequested") {
        if let Some(delivery) = sent.get(&fact.correlation) {
            let subject = subject(&delivery.key, delivery.number);
            asked.entry(&delivery.ticket.id).or_default().push(subject);
        }
    }
    for (record, asked) in asked {
        let mut made: Vec<&str> = Vec::new();
        for write in &world.writes {
            let subject = write.subject.as_str();
            // A repeated write is told of elsewhere.
            if write.external_id == record && !write.archived && !made.contains(&subject) {
                made.push(subject);
            }
        }
        let made_of_asked: Vec<&str> = asked
            .iter()
            .map(String::as_str)
            .filter(|subject| made.contains(subject))
            .collect();
        made.retain(|subject| asked.iter().any(|asked| asked == subject));
        if made != made_of_asked {
            verdict.wrong.push(format!(
                "{record} was written in the order {made:?}, asked for in the order {made_of_asked:?}"
            ));
        }
    }
}

#[cfg(test)]
mod tests;
