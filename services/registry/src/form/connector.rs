use domain_registry::{Connector, Resource};
use serde_json::{Value, json};

use super::check;
use super::fields::Fields;
use super::secret::{self, ClearSecrets, PRIMARY, Shape};

const SYSTEMS: [&str; 1] = ["hubspot"];
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
const LONGEST_TIMEOUT_MS: u64 = 300_000;
const DEFAULT_ATTEMPTS: u64 = 5;
const MOST_ATTEMPTS: u64 = 20;

pub(super) fn read(fields: &mut Fields<'_>, clear: &mut ClearSecrets) -> Resource {
    let system = fields.text("system");
    if !system.is_empty() && !SYSTEMS.contains(&system.as_str()) {
        fields.issue("system", format!("must be one of {}", SYSTEMS.join(", ")));
    }
    let base_url = check::address(fields, "base_url");
    let credential = match (fields.take("credential"), fields.take("secret")) {
        (Some(credential), None) => {
            let at = fields.pointer("credential");
            secret::read(credential, &at, Shape::Opaque, fields, clear)
        }
        // The short form: a credential that has no window.
        (None, Some(secret)) => {
            let credential = json!({"id": PRIMARY, "secret": secret});
            secret::read(credential, "", Shape::Opaque, fields, clear)
        }
        (given, _) => {
            let detail = if given.is_some() {
                "must not be given beside secret"
            } else {
                "is required"
            };
            fields.issue("credential", detail);
            domain_registry::Secret {
                id: PRIMARY.to_owned(),
                sealed: String::new(),
                valid_from: None,
                valid_until: None,
            }
        }
    };
    let timeout_ms = fields.number("timeout_ms", DEFAULT_TIMEOUT_MS, 100..=LONGEST_TIMEOUT_MS);
    let max_attempts = fields.number("max_attempts", DEFAULT_ATTEMPTS, 1..=MOST_ATTEMPTS);
    Resource::Connector(Connector {
        system,
        base_url,
        credential,
        timeout_ms,
        // Within the range above.
        max_attempts: u32::try_from(max_attempts).unwrap_or(1),
    })
}

pub(super) fn show(connector: &Connector) -> Value {
    json!({
        "system": connector.system,
        "base_url": connector.base_url,
        "credential": secret::show(&connector.credential),
        "timeout_ms": connector.timeout_ms,
        "max_attempts": connector.max_attempts,
    })
}
