//! What a delivery is about, by the pointers its source was registered with.

use domain_delivery::Quarantine;
use domain_registry::Source;
use serde_json::Value;

/// The event type when neither the source nor the body names one. The delivery
/// is kept all the same: a sender that gets an error repeats it for days.
pub(crate) const UNKNOWN_EVENT_TYPE: &str = "unknown";

/// Bytes of an event type or subject. What is longer is no name.
const MAX_NAME: usize = 256;

/// What kind of thing happened and to whom or what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) event_type: String,
    pub(crate) subject: Option<String>,
}

/// Reads the description of `body`. The source's pointer comes first, then its
/// fixed event type, then what the scheme's own header said.
pub(crate) fn describe(source: &Source, from_header: Option<&str>, body: &Value) -> Description {
    let event_type = source
        .event_type_pointer
        .as_deref()
        .and_then(|pointer| name_at(body, pointer))
        .or_else(|| source.event_type.clone())
        .or_else(|| from_header.map(str::to_owned))
        .unwrap_or_else(|| UNKNOWN_EVENT_TYPE.to_owned());
    let subject = source
        .subject_pointer
        .as_deref()
        .and_then(|pointer| name_at(body, pointer));
    Description {
        event_type,
        subject,
    }
}

/// Why a delivery is to wait for an operator, although its sender is known: an
/// error would only make the sender repeat it for days.
pub(crate) fn quarantine(
    source: &Source,
    description: &Description,
    body: &Value,
) -> Option<Quarantine> {
    let nameless = description.event_type == UNKNOWN_EVENT_TYPE;
    let unlisted =
        !source.event_types.is_empty() && !source.event_types.contains(&description.event_type);
    if nameless || unlisted {
        return Some(Quarantine::UnknownEventType);
    }
    match &source.content_pointer {
        Some(pointer) if body.pointer(pointer).is_none() => Some(Quarantine::NoContent),
        _ => None,
    }
}

/// A text or whole number at `pointer`, as a name.
fn name_at(body: &Value, pointer: &str) -> Option<String> {
    let name = match body.pointer(pointer)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    (!name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use domain_kernel::Space;
    use serde_json::json;

    use super::*;

    fn source(pointer: Option<&str>, fixed: Option<&str>) -> Source {
        Source {
            space: Space::new("support"),
            scheme: "github".to_owned(),
            secrets: Vec::new(),
            event_type_pointer: pointer.map(str::to_owned),
            event_type: fixed.map(str::to_owned),
            subject_pointer: Some("/customer/email".to_owned()),
            text_pointers: Vec::new(),
            content_pointer: None,
            signing: None,
            event_types: Vec::new(),
        }
    }

    #[test]
    fn the_pointer_comes_first_then_the_fixed_type_then_the_header() {
        let body = json!({"event_type": "ticket.created"});
        let of =
            |pointer, fixed, header| describe(&source(pointer, fixed), header, &body).event_type;
        assert_eq!(
            of(Some("/event_type"), Some("f"), Some("h")),
            "ticket.created"
        );
        assert_eq!(of(Some("/absent"), Some("f"), Some("h")), "f");
        assert_eq!(of(None, None, Some("h")), "h");
        assert_eq!(of(None, None, None), UNKNOWN_EVENT_TYPE);
    }

    #[test]
    fn what_the_source_was_not_registered_for_waits() {
        let mut source = source(Some("/event_type"), None);
        let body = json!({"event_type": "ticket.created", "payload": {}});
        let why = |source: &Source| quarantine(source, &describe(source, None, &body), &body);
        assert_eq!(why(&source), None);
        source.event_types = vec!["ticket.created".to_owned()];
        source.content_pointer = Some("/payload".to_owned());
        assert_eq!(why(&source), None);
        source.content_pointer = Some("/data".to_owned());
        assert_eq!(why(&source), Some(Quarantine::NoContent));
        source.event_types = vec!["ticket.closed".to_owned()];
        assert_eq!(why(&source), Some(Quarantine::UnknownEventType));
    }

    #[test]
    fn a_subject_is_a_name_or_nothing() {
        let subject = |email: Value| {
            let body = json!({"customer": {"email": email}});
            describe(&source(None, None), None, &body).subject
        };
        assert_eq!(
            subject(json!(" ada@example.com ")).as_deref(),
            Some("ada@example.com")
        );
        assert_eq!(subject(json!(42)).as_deref(), Some("42"));
        for none in [
            json!(null),
            json!({}),
            json!(" "),
            json!(1.5),
            json!("a\nb"),
            json!("x".repeat(257)),
        ] {
            assert_eq!(subject(none), None);
        }
        assert_eq!(
            describe(&source(None, None), None, &json!([1])).subject,
            None
        );
    }
}
