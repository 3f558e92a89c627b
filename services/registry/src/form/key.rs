use domain_kernel::Timestamp;
use domain_registry::{Key, Resource};
use serde_json::{Value, json};

use super::fields::Fields;
use super::scopes;

/// Reads an API key. Its maker hands over the digest of the secret and not the
/// secret, so that it is at no time on the wire, in a log or in this process.
pub(super) fn read(fields: &mut Fields<'_>) -> Resource {
    let subject = scopes::subject(fields);
    let scopes = scopes::read(fields);
    let secret_sha256 = fields.text("secret_sha256");
    let is_digest = secret_sha256.len() == 64
        && secret_sha256
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !secret_sha256.is_empty() && !is_digest {
        fields.issue(
            "secret_sha256",
            "must be a SHA-256 in 64 lowercase hexadecimal digits",
        );
    }
    let expires_at = match fields.optional_text("expires_at") {
        None => None,
        Some(text) => {
            let time = Timestamp::parse_rfc3339(&text).ok();
            if time.is_none() {
                fields.issue("expires_at", "must be an RFC 3339 time in UTC");
            }
            time
        }
    };
    Resource::Key(Key {
        subject,
        scopes,
        secret_sha256,
        expires_at,
    })
}

/// As shown: the prefix by which its holder knows it, and nothing of the secret.
pub(super) fn show(key: &Key) -> Value {
    json!({
        "subject": key.subject,
        "scopes": key.scopes,
        "expires_at": key.expires_at.map(|time| time.to_rfc3339()),
    })
}
