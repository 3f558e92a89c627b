//! Reading what a tool is given: payloads of any shape, from anyone.

use serde_json::{Map, Value};

/// Characters of one text that are looked at; the rest says nothing new.
const TEXT_LIMIT: usize = 20_000;

/// Entries of a history that are looked at, the latest.
const HISTORY_LIMIT: usize = 50;

/// One earlier context.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Earlier<'a> {
    pub(crate) context_id: Option<&'a str>,
    pub(crate) kind: &'a str,
    /// RFC 3339, as it was given.
    pub(crate) at: &'a str,
    pub(crate) content: &'a Value,
}

/// The history of a call, oldest first, without the case itself: the mesh shows
/// an agent the triggering context as part of the history.
pub(crate) fn history<'a>(arguments: &'a Map<String, Value>, case: &Value) -> Vec<Earlier<'a>> {
    let entries = arguments.get("history").and_then(Value::as_array);
    let mut earlier: Vec<Earlier<'_>> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let content = entry.get("content")?;
            (content != case).then(|| Earlier {
                context_id: entry.get("context_id").and_then(Value::as_str),
                kind: entry
                    .get("kind")
                    .and_then(Value::as_str)
                    .unwrap_or("context"),
                at: entry.get("at").and_then(Value::as_str).unwrap_or(""),
                content,
            })
        })
        .collect();
    let surplus = earlier.len().saturating_sub(HISTORY_LIMIT);
    earlier.drain(..surplus);
    earlier
}

/// The text at the first of `pointers` that holds one.
pub(crate) fn text_at<'a>(value: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers
        .iter()
        .filter_map(|pointer| value.pointer(pointer))
        .filter_map(Value::as_str)
        .map(str::trim)
        .find(|text| !text.is_empty())
}

/// The number at the first of `pointers` that holds one, written as a number or as text.
pub(crate) fn number_at(value: &Value, pointers: &[&str]) -> Option<f64> {
    pointers
        .iter()
        .filter_map(|pointer| value.pointer(pointer))
        .find_map(|found| match found {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        })
        .filter(|number| number.is_finite())
}

/// What was said: the usual fields when there are any, else every text in it.
pub(crate) fn prose(value: &Value) -> String {
    let usual: Vec<&str> = [
        "/subject",
        "/title",
        "/body",
        "/message",
        "/description",
        "/text",
    ]
    .iter()
    .filter_map(|pointer| text_at(value, &[pointer]))
    .collect();
    let mut text = if usual.is_empty() {
        let mut texts = Vec::new();
        collect(value, &mut texts);
        texts.join("\n")
    } else {
        usual.join("\n")
    };
    if let Some((end, _)) = text.char_indices().nth(TEXT_LIMIT) {
        text.truncate(end);
    }
    text
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        _ => {}
    }
}

/// One line, without control characters, cut at `limit` characters. Outside text
/// that is quoted to somebody passes through here.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}
