use domain_context::{Claims, ContextEvent, Figure, Profile, context_id};
use domain_kernel::{ContextId, EventId, Recorded, Space, TenantId};
use platform_log::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one event adds to an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Add {
        entry: Box<Entry>,
        /// What is embedded. Kept out of the entry: the log has it.
        text: String,
        offset: i64,
    },
    Merge {
        merge: Merge,
        offset: i64,
    },
}

/// A context as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub context_id: ContextId,
    pub delivery: EventId,
    /// Where it lives and what it claims.
    pub profile: Profile,
}

/// A delivery that went into a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    pub delivery: EventId,
    /// The context it went into.
    pub into: ContextId,
    /// The context its content would have made. So the same content, once
    /// merged, is known without looking at vectors again.
    pub instead_of: ContextId,
}

/// What changes because of one event.
pub fn project(recorded: &Recorded<ContextEvent>, position: &Position) -> Vec<Change> {
    let tenant = &recorded.meta.tenant;
    let offset = position.offset;
    vec![match &recorded.event {
        ContextEvent::Shared(shared) => Change::Add {
            entry: Box::new(Entry {
                context_id: shared.context_id,
                delivery: shared.delivery,
                profile: profile(
                    tenant,
                    &shared.space,
                    &shared.kind,
                    &shared.subject,
                    &shared.text,
                    // Whoever shared it had parsed it.
                    &serde_json::from_str(shared.content.as_str()).unwrap_or_default(),
                ),
            }),
            text: shared.text.clone(),
            offset,
        },
        ContextEvent::Merged(merged) => Change::Merge {
            merge: Merge {
                delivery: merged.delivery,
                into: merged.context_id,
                instead_of: context_id(
                    tenant,
                    &merged.space,
                    &merged.kind,
                    &merged.subject,
                    &merged.content_sha256,
                ),
            },
            offset,
        },
    }]
}

/// What decides whether two contexts may be one.
pub fn profile(
    tenant: &TenantId,
    space: &Space,
    kind: &str,
    subject: &str,
    text: &str,
    content: &Value,
) -> Profile {
    Profile {
        tenant: tenant.clone(),
        space: space.clone(),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        claims: Claims::of_text(text).with_figures(figures(content)),
    }
}

/// The numbers and truth values in the fields of `content`, by JSON pointer,
/// without the fields that name a record or tell a time: those differ from one
/// report of the same thing to the next.
pub fn figures(content: &Value) -> Vec<(String, Figure)> {
    let mut figures = Vec::new();
    collect(content, String::new(), &mut figures);
    figures
}

fn collect(value: &Value, pointer: String, figures: &mut Vec<(String, Figure)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if !names_record_or_time(name) {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    collect(value, format!("{pointer}/{name}"), figures);
                }
            }
        }
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                collect(value, format!("{pointer}/{i}"), figures);
            }
        }
        Value::Number(number) => {
            // 5 and 5.0 are one figure.
            let number = match number.as_f64() {
                Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
                _ => number.to_string(),
            };
            figures.push((pointer, Figure::Number(number)));
        }
        Value::Bool(truth) => figures.push((pointer, Figure::Truth(*truth))),
        Value::String(_) | Value::Null => {}
    }
}

fn names_record_or_time(field: &str) -> bool {
    const WORDS: [&str; 12] = [
        "id",
        "ids",
        "uuid",
        "at",
        "on",
        "time",
        "timestamp",
        "ts",
        "date",
        "seq",
        "sequence",
        "attempt",
    ];
    // The last word of `ticket_id`, `ticketId`, `created-at`.
    let mut last = String::new();
    let mut before = ' ';
    for c in field.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            last.clear();
        }
        if c.is_alphanumeric() {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    WORDS.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_figures_and_names_and_times_are_not() {
        let content = json!({
            "ticket_id": 1001, "ticketId": 7, "id": 1, "created-at": 1_700_000_000,
            "amount": 129.90, "items": [{"price": 5.0, "sku": "A-1"}], "urgent": true,
            "note": "5", "paid": 3, "a/b": 2
        });
        let mut figures = figures(&content);
        figures.sort_by(|a, b| a.0.cmp(&b.0));
        let number = |text: &str| Figure::Number(text.to_owned());
        assert_eq!(
            figures,
            [
                ("/amount".to_owned(), number("129.9")),
                ("/a~1b".to_owned(), number("2")),
                ("/items/0/price".to_owned(), number("5")),
                ("/paid".to_owned(), number("3")),
                ("/urgent".to_owned(), Figure::Truth(true)),
            ]
        );
    }

    #[test]
    fn a_word_that_only_ends_like_a_name_counts() {
        assert!(!names_record_or_time("paid"));
        assert!(!names_record_or_time("format"));
        assert!(names_record_or_time("externalID"));
        assert!(names_record_or_time("updatedAt"));
    }
}
