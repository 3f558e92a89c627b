use domain_kernel::{Json, Space};
use domain_registry::{Resource, Source};
use platform_webhooks::{Custom, Scheme, custom};
use serde_json::{Value, json};

use super::check;
use super::fields::Fields;
use super::secret::{self, ClearSecrets, PRIMARY, Shape};

pub(super) fn read(fields: &mut Fields<'_>, clear: &mut ClearSecrets) -> Resource {
    let space = check::name(fields, "space");
    let (named, scheme) = scheme(fields);
    let (custom, signing) = signing(fields, &scheme);
    let shape = match named {
        Some(Scheme::StandardWebhooks) => Shape::StandardWebhooks,
        Some(Scheme::Bearer) => Shape::Token,
        Some(Scheme::Mtls) => Shape::Certificate,
        _ => Shape::Opaque,
    };

    let mut given = fields.items("secrets");
    // The short form, for a source that has only one secret.
    let short = fields.take("secret");
    let short_pointer = short.is_some().then(|| fields.pointer("secret"));
    if let Some(secret) = short {
        if given.is_empty() {
            given.push(json!({"id": PRIMARY, "secret": secret}));
        } else {
            fields.issue("secret", "must not be given beside secrets");
        }
    }
    if given.is_empty() {
        fields.issue("secrets", "must have at least one secret");
    }
    let mut secrets: Vec<domain_registry::Secret> = Vec::with_capacity(given.len());
    for (index, value) in given.into_iter().enumerate() {
        let at = match &short_pointer {
            Some(_) => String::new(),
            None => fields.pointer(&format!("secrets/{index}")),
        };
        let secret = secret::read(value, &at, shape, fields, clear);
        if let (Some(custom), Some(text)) = (&custom, clear.get(&secret.id))
            && custom.key(&secret.id, text, None, None).is_none()
        {
            let place = format!("{at}/secret");
            fields.issues().add(
                place,
                "does not have the form that signing.secret_encoding says",
            );
        }
        if secrets.iter().any(|other| other.id == secret.id) {
            fields.issue(&format!("secrets/{index}/id"), "is used twice");
        }
        secrets.push(secret);
    }

    let event_type_pointer = check::optional_pointer(fields, "event_type_pointer");
    let event_type = fields.optional_text("event_type");
    // Where a header names the event, or the envelope does, neither is needed.
    let in_header = named.is_some_and(Scheme::names_the_event)
        || custom.as_ref().is_some_and(Custom::names_the_event);
    if event_type_pointer.is_none() && event_type.is_none() && !in_header {
        fields.issue(
            "event_type_pointer",
            "is required unless event_type is given",
        );
    }
    if event_type_pointer.is_some() && event_type.is_some() {
        fields.issue("event_type", "must not be given beside event_type_pointer");
    }
    let subject_pointer = check::optional_pointer(fields, "subject_pointer");
    let text_pointers = fields.texts("text_pointers");
    for (index, pointer) in text_pointers.iter().enumerate() {
        if !check::is_pointer(pointer) {
            fields.issue(&format!("text_pointers/{index}"), check::POINTER_RULE);
        }
    }
    let content_pointer = check::optional_pointer(fields, "content_pointer");
    let event_types = fields.texts("event_types");

    Resource::Source(Source {
        space: Space::new(space),
        scheme,
        signing,
        secrets,
        event_type_pointer,
        event_type,
        subject_pointer,
        text_pointers,
        content_pointer,
        event_types,
    })
}

/// The scheme, and its name as it was given.
fn scheme(fields: &mut Fields<'_>) -> (Option<Scheme>, String) {
    let name = fields.text("scheme");
    let named = name.parse().ok();
    if !name.is_empty() && named.is_none() && name != custom::NAME {
        let mut known = Scheme::ALL.map(Scheme::as_str).to_vec();
        known.push(custom::NAME);
        fields.issue("scheme", format!("must be one of {}", known.join(", ")));
    }
    (named, name)
}

/// What a source of scheme `custom` says of itself.
fn signing(fields: &mut Fields<'_>, scheme: &str) -> (Option<Custom>, Option<Json>) {
    let Some(description) = fields.take("signing") else {
        if scheme == custom::NAME {
            fields.issue("signing", "is required for scheme custom");
        }
        return (None, None);
    };
    if scheme != custom::NAME {
        fields.issue("signing", "is only for scheme custom");
        return (None, None);
    }
    let text = Json::from_text(description.to_string());
    match Custom::read(description) {
        Ok(custom) => (Some(custom), Some(text)),
        Err(issues) => {
            for issue in issues {
                fields.issue(&format!("signing{}", issue.pointer), issue.detail);
            }
            (None, None)
        }
    }
}

/// As shown: without anything of the secrets but which there are.
pub(super) fn show(source: &Source) -> Value {
    json!({
        "space": source.space,
        "scheme": source.scheme,
        "signing": source
            .signing
            .as_ref()
            .and_then(|json| serde_json::from_str::<Value>(json.as_str()).ok()),
        "secrets": source.secrets.iter().map(secret::show).collect::<Vec<_>>(),
        "event_type_pointer": source.event_type_pointer,
        "event_type": source.event_type,
        "subject_pointer": source.subject_pointer,
        "text_pointers": source.text_pointers,
        "content_pointer": source.content_pointer,
        "event_types": source.event_types,
    })
}
