use domain_registry::{Certificate, Resource};
use serde_json::{Value, json};

use super::fields::Fields;
use super::scopes;

const LONGEST_NAME: usize = 512;

pub(super) fn read(fields: &mut Fields<'_>) -> Resource {
    let name = fields.text("name");
    if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        fields.issue(
            "name",
            "must be a distinguished name, or sha256: and a digest",
        );
    }
    Resource::Certificate(Certificate {
        name,
        subject: scopes::subject(fields),
        scopes: scopes::read(fields),
    })
}

pub(super) fn show(certificate: &Certificate) -> Value {
    json!({
        "name": certificate.name,
        "subject": certificate.subject,
        "scopes": certificate.scopes,
    })
}
