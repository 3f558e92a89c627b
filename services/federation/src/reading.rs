use domain_context::{Profile, Received, context_id};
use domain_delivery::DeliveryAccepted;
use domain_kernel::{Json, Metadata};
use domain_registry::Source;
use platform_webhooks::document;
use projections_context_vectors::profile;
use serde_json::Value;

use crate::canonical::{canonical, sha256};
use crate::error::Unreadable;

/// A delivery, read as its source says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) received: Received,
    pub(crate) profile: Profile,
}

/// Kind and subject are the delivery's own: the gateway read them when policy
/// was asked, and what policy saw is what counts. Content and texts are read
/// here. A source that is not registered any more says nothing of them: then
/// the whole body is the content.
pub(crate) fn read(
    meta: &Metadata,
    delivery: &DeliveryAccepted,
    source: Option<&Source>,
    model_digest: &str,
) -> Result<Reading, Unreadable> {
    let body = document(
        &delivery.scheme,
        &delivery.content_type,
        &delivery.body,
        |bytes| serde_json::from_slice::<Value>(bytes),
    )
    .map_err(Unreadable::NotJson)?;
    let content = match source.and_then(|source| source.content_pointer.as_ref()) {
        // To show the whole body instead would show what is not to be shown.
        Some(pointer) => body.pointer(pointer).ok_or_else(|| Unreadable::NoContent {
            pointer: pointer.clone(),
        })?,
        None => &body,
    };
    let pointers = source.map_or(&[][..], |source| &source.text_pointers);
    let text = text(&body, pointers, content);
    let subject = delivery.subject.clone().unwrap_or_default();
    let canonical = canonical(content);
    let content_sha256 = sha256(&canonical);
    let profile = profile(
        &meta.tenant,
        &delivery.space,
        &delivery.event_type,
        &subject,
        &text,
        content,
    );
    Ok(Reading {
        received: Received {
            context_id: context_id(
                &meta.tenant,
                &delivery.space,
                &delivery.event_type,
                &subject,
                &content_sha256,
            ),
            delivery: meta.id,
            source_id: delivery.source_id.clone(),
            space: delivery.space.clone(),
            kind: delivery.event_type.clone(),
            subject,
            content: Json::from_text(canonical),
            content_sha256,
            text,
            model_digest: model_digest.to_owned(),
        },
        profile,
    })
}

/// The texts at the pointers, one a line. Where there is none, all texts of the
/// content, so that a source without pointers has near duplicates too.
fn text(body: &Value, pointers: &[String], content: &Value) -> String {
    let mut lines = Vec::new();
    for value in pointers.iter().filter_map(|pointer| body.pointer(pointer)) {
        collect(value, &mut lines);
    }
    if lines.is_empty() {
        collect(content, &mut lines);
    }
    lines.join("\n")
}

fn collect<'a>(value: &'a Value, lines: &mut Vec<&'a str>) {
    match value {
        Value::String(text) if !text.trim().is_empty() => lines.push(text.trim()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, lines)),
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            for name in names {
                collect(&fields[name], lines);
            }
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use domain_delivery::AuthMethod;
    use domain_kernel::{CorrelationId, EventId, Space, TenantId, Timestamp};
    use serde_json::json;

    use super::*;

    fn meta() -> Metadata {
        Metadata {
            id: EventId::derive(&["d"]),
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::of_delivery("zapier", "1"),
            causation: None,
            stream: "s".to_owned(),
            version: 1,
            at: Timestamp::from_millis(1),
            source: "/agentmesh/gateway".to_owned(),
            traceparent: None,
            actor: None,
        }
    }

    fn delivery(body: impl Into<Vec<u8>>) -> DeliveryAccepted {
        DeliveryAccepted {
            source_id: "zapier".to_owned(),
            delivery_id: "1".to_owned(),
            space: Space::new("support"),
            scheme: "standard-webhooks".to_owned(),
            auth: AuthMethod::HmacSha256,
            key_id: None,
            content_type: "application/json".to_owned(),
            body: body.into(),
            body_sha256: String::new(),
            signed_headers: Vec::new(),
            event_type: "ticket".to_owned(),
            subject: Some("ada@example.com".to_owned()),
            request: None,
            source_version: None,
            quarantine: None,
        }
    }

    fn source() -> Source {
        Source {
            space: Space::new("support"),
            scheme: "standard-webhooks".to_owned(),
            secrets: Vec::new(),
            event_type_pointer: None,
            event_type: Some("ticket".to_owned()),
            subject_pointer: None,
            text_pointers: vec!["/payload/subject".to_owned(), "/payload/body".to_owned()],
            content_pointer: Some("/payload".to_owned()),
            signing: None,
            event_types: Vec::new(),
        }
    }

    fn body() -> String {
        json!({
            "secret": "not for agents",
            "payload": {"subject": " Refund ", "body": "Twice 129.90", "amount": 129.9, "id": 1}
        })
        .to_string()
    }

    #[test]
    fn a_source_says_what_is_shown_and_what_is_compared() {
        let reading = read(&meta(), &delivery(body()), Some(&source()), "m").expect("readable");
        assert_eq!(reading.received.text, "Refund\nTwice 129.90");
        assert_eq!(
            reading.received.content.as_str(),
            r#"{"amount":129.9,"body":"Twice 129.90","id":1,"subject":" Refund "}"#
        );
        assert_eq!(reading.profile.claims.numbers, ["twice", "129.9"]);
        assert!(reading.profile.claims.figures.contains_key("/amount"));
    }

    #[test]
    fn a_retired_source_leaves_the_whole_body() {
        let reading = read(&meta(), &delivery(body()), None, "m").expect("readable");
        assert!(reading.received.content.as_str().contains("not for agents"));
        assert_eq!(
            reading.received.text,
            "Twice 129.90\nRefund\nnot for agents"
        );
        assert_eq!(reading.received.kind, "ticket");
        assert_eq!(reading.received.subject, "ada@example.com");
    }

    #[test]
    fn another_order_of_fields_is_the_same_context() {
        let one = r#"{"payload":{"body":"a","amount":5}}"#;
        let other = r#"{"payload": {"amount": 5.0, "body": "a"}, "sent": 7}"#;
        let id = |body: &str| {
            let reading = read(&meta(), &delivery(body), Some(&source()), "m");
            reading.expect("readable").received.context_id
        };
        assert_eq!(id(one), id(other));
        assert_ne!(id(one), id(r#"{"payload":{"body":"a","amount":6}}"#));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let not_json = read(&meta(), &delivery("{"), Some(&source()), "m");
        assert!(matches!(not_json, Err(Unreadable::NotJson(_))));
        let no_content = read(&meta(), &delivery("{}"), Some(&source()), "m");
        assert!(matches!(no_content, Err(Unreadable::NoContent { .. })));
    }
}
