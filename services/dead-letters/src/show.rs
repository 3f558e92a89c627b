use domain_dead_letter::DeadLetterEvent;
use domain_kernel::Timestamp;
use serde_json::{Value, json};

use crate::Entry;

/// A letter as one JSON object: what a list shows.
pub fn summary(entry: &Entry) -> Value {
    let letter = &entry.letter;
    let original = &letter.original;
    json!({
        "id": letter.id,
        "status": entry.status(),
        "consumer": letter.consumer,
        "topic": original.topic,
        "partition": original.partition,
        "offset": original.offset,
        "event": entry.event(),
        "event_id": original.header("ce_id"),
        "stream": original.header("ce_subject"),
        "tenant": original.header("mesh-tenant"),
        "correlation": original.header("mesh-correlation"),
        "attempts": letter.attempts,
        "at": letter.at.map(Timestamp::to_rfc3339),
        "occurrences": entry.occurrence,
        "redrives": entry.redrives(),
        "reason": letter.reason,
    })
}

/// A letter as one JSON object: all there is, `content` being the decoded value.
pub fn details(entry: &Entry, content: Option<Value>) -> Value {
    let letter = &entry.letter;
    let original = &letter.original;
    let headers: Vec<Value> = original
        .headers
        .iter()
        .map(|(name, value)| json!([name, text_or_hex(value)]))
        .collect();
    let decisions: Vec<Value> = entry.decisions.iter().map(decision).collect();
    let mut shown = summary(entry);
    shown["causes"] = json!(letter.causes);
    shown["key"] = json!(original.key.as_deref().map(text_or_hex));
    shown["headers"] = Value::Array(headers);
    shown["value_bytes"] = json!(letter.omitted_bytes.unwrap_or_else(|| {
        original
            .value
            .as_ref()
            .map_or(0, |value| value.len() as u64)
    }));
    shown["value_hex"] = json!(original.value.as_deref().map(hex));
    shown["value_omitted"] = json!(letter.omitted_bytes.is_some());
    shown["content"] = content.unwrap_or_default();
    shown["decisions"] = Value::Array(decisions);
    shown
}

fn decision(recorded: &domain_kernel::Recorded<DeadLetterEvent>) -> Value {
    let (decision, operator, why) = match &recorded.event {
        DeadLetterEvent::Redriven(event) => ("redriven", &event.operator, event.note.as_ref()),
        DeadLetterEvent::Discarded(event) => ("discarded", &event.operator, Some(&event.reason)),
    };
    json!({
        "decision": decision,
        "event_id": recorded.meta.id,
        "at": recorded.meta.at.to_rfc3339(),
        "operator": operator,
        "why": why,
    })
}

fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
