//! Secrets as they come in: in clear, with a window in which they count.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_kernel::Timestamp;
use domain_registry::Secret;
use platform_vault::Zeroizing;
use platform_webhooks::Scheme;
use serde_json::{Value, json};

use super::check;
use super::fields::Fields;

/// The id of a secret given in short form.
pub(crate) const PRIMARY: &str = "primary";

const LONGEST_SECRET: usize = 4_096;

/// What was given in clear, by secret id. Never leaves this process but sealed.
pub(crate) type ClearSecrets = BTreeMap<String, Zeroizing<String>>;

/// How a secret must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Anything of some length.
    Opaque,
    /// `whsec_` and base64 of 24 to 64 bytes, or `whpk_` and base64 of 32 bytes.
    StandardWebhooks,
    /// A bearer token: it crosses the network with every request and is all that
    /// is asked for, so it has to be long.
    Token,
    /// `sha256:` and the fingerprint of a certificate, or `subject:` and its
    /// distinguished name.
    Certificate,
}

/// Reads `{"id", "secret", "valid_from", "valid_until"}`. The secret may be left
/// out when one with this id is on record, which is then kept.
pub(crate) fn read(
    value: Value,
    at: &str,
    shape: Shape,
    parent: &mut Fields<'_>,
    clear: &mut ClearSecrets,
) -> Secret {
    let mut fields = Fields::new(value, at, parent.issues());
    let id = check::name(&mut fields, "id");
    if let Some(text) = fields.optional_text("secret") {
        let text = Zeroizing::new(text);
        if let Some(wrong) = wrong_with(&text, shape) {
            fields.issue("secret", wrong);
        }
        clear.insert(id.clone(), text);
    }
    let valid_from = time(&mut fields, "valid_from");
    let valid_until = time(&mut fields, "valid_until");
    if let (Some(from), Some(until)) = (valid_from, valid_until)
        && from >= until
    {
        fields.issue("valid_until", "must be after valid_from");
    }
    fields.finish();
    Secret {
        id,
        // Filled in when it is sealed.
        sealed: String::new(),
        valid_from,
        valid_until,
    }
}

/// As shown: which it is and when it counts.
pub(crate) fn show(secret: &Secret) -> Value {
    json!({
        "id": secret.id,
        "valid_from": secret.valid_from.map(|time| time.to_rfc3339()),
        "valid_until": secret.valid_until.map(|time| time.to_rfc3339()),
    })
}

fn time(fields: &mut Fields<'_>, field: &'static str) -> Option<Timestamp> {
    let text = fields.optional_text(field)?;
    let time = Timestamp::parse_rfc3339(&text).ok();
    if time.is_none() {
        fields.issue(field, "must be a time such as 2026-11-22T17:00:00Z");
    }
    time
}

fn wrong_with(secret: &str, shape: Shape) -> Option<&'static str> {
    if secret.len() > LONGEST_SECRET {
        return Some("is too long for a secret");
    }
    match shape {
        Shape::Opaque => (secret.len() < 8).then_some("must have at least 8 characters"),
        Shape::Token => (secret.len() < 20 || !secret.bytes().all(|b| b.is_ascii_graphic()))
            .then_some("must have at least 20 printable ASCII characters and no space"),
        Shape::Certificate => Scheme::Mtls
            .key("", secret, None, None)
            .is_none()
            .then_some(
                "must be sha256: and 64 hexadecimal digits, or subject: and a distinguished name",
            ),
        Shape::StandardWebhooks => {
            let (encoded, lengths) =
                match (secret.strip_prefix("whsec_"), secret.strip_prefix("whpk_")) {
                    (Some(encoded), _) => (encoded, 24..=64),
                    (_, Some(encoded)) => (encoded, 32..=32),
                    _ => return Some("must start with whsec_ or whpk_"),
                };
            let bytes = STANDARD.decode(encoded).map(Zeroizing::new);
            let fits = bytes.is_ok_and(|bytes| lengths.contains(&bytes.len()));
            (!fits).then_some(
                "must be whsec_ and the base64 of 24 to 64 bytes, or whpk_ and the base64 of 32",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_webhooks_secrets() {
        let shape = Shape::StandardWebhooks;
        for good in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whpk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ] {
            assert_eq!(wrong_with(good, shape), None, "{good}");
        }
        for bad in [
            "",
            "secret",
            "whsec_",
            "whsec_????",
            "whsec_c2hvcnQ=",
            "whpk_c2hvcnQ=",
        ] {
            assert!(wrong_with(bad, shape).is_some(), "{bad}");
        }
    }
}
