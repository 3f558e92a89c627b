use domain_kernel::Space;
use domain_registry::{Resource, Source};
use serde_json::{Value, json};

use super::check;
use super::fields::Fields;
use super::secret::{self, ClearSecrets, PRIMARY, Shape};

const STANDARD_WEBHOOKS: &str = "standard-webhooks";
const GITHUB: &str = "github";
const SCHEMES: [&str; 5] = [
    STANDARD_WEBHOOKS,
    GITHUB,
    "slack",
    "hubspot-v3",
    "hubspot-v2",
];

pub(super) fn read(fields: &mut Fields<'_>, clear: &mut ClearSecrets) -> Resource {
    let space = check::name(fields, "space");
    let scheme = fields.text("scheme");
    if !scheme.is_empty() && !SCHEMES.contains(&scheme.as_str()) {
        fields.issue("scheme", format!("must be one of {}", SCHEMES.join(", ")));
    }
    let shape = if scheme == STANDARD_WEBHOOKS {
        Shape::StandardWebhooks
    } else {
        Shape::Opaque
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
        if secrets.iter().any(|other| other.id == secret.id) {
            fields.issue(&format!("secrets/{index}/id"), "is used twice");
        }
        secrets.push(secret);
    }

    let event_type_pointer = check::optional_pointer(fields, "event_type_pointer");
    let event_type = fields.optional_text("event_type");
    // GitHub names the event in a header, so neither is needed there.
    if event_type_pointer.is_none() && event_type.is_none() && scheme != GITHUB {
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

    Resource::Source(Source {
        space: Space::new(space),
        scheme,
        secrets,
        event_type_pointer,
        event_type,
        subject_pointer,
        text_pointers,
        content_pointer,
    })
}

/// As shown: without anything of the secrets but which there are.
pub(super) fn show(source: &Source) -> Value {
    json!({
        "space": source.space,
        "scheme": source.scheme,
        "secrets": source.secrets.iter().map(secret::show).collect::<Vec<_>>(),
        "event_type_pointer": source.event_type_pointer,
        "event_type": source.event_type,
        "subject_pointer": source.subject_pointer,
        "text_pointers": source.text_pointers,
        "content_pointer": source.content_pointer,
    })
}
