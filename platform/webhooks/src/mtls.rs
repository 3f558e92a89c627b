//! A client certificate, which the TLS layer has checked already. The source
//! says which ones are its senders': by `sha256:` and the certificate's
//! fingerprint, or by `subject:` and its distinguished name. It says who opened
//! the connection and nothing of the body, so a delivery is recorded as `mtls`.

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::idempotency_key::delivery_id;
use crate::key::{Function, Key, key_of_certificate};

const FINGERPRINT: &str = "sha256:";
const SUBJECT: &str = "subject:";

pub(crate) fn function(secret: &str) -> Option<Function> {
    if let Some(digits) = secret.strip_prefix(FINGERPRINT) {
        // As openssl prints it, or without the colons.
        let plain: String = digits.chars().filter(|digit| *digit != ':').collect();
        let mut sha256 = [0; 32];
        hex::decode_to_slice(plain, &mut sha256).ok()?;
        return Some(Function::Fingerprint(sha256));
    }
    let subject = secret.strip_prefix(SUBJECT)?.trim();
    (!subject.is_empty()).then(|| Function::Subject(subject.to_owned()))
}

pub(crate) fn authenticate(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let key = key_of_certificate(keys, presented).ok_or(NotAuthentic::bad(
        "there is no client certificate, or not one of the source's",
    ))?;
    let (delivery_id, headers) = delivery_id(presented)?;
    Ok(Authentic {
        auth: Auth::Mtls,
        key_id: key.id.clone(),
        delivery_id,
        headers,
        event_type: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_by_fingerprint_or_subject() {
        let colons = vec!["AB"; 32].join(":");
        for good in [
            format!("sha256:{}", "ab".repeat(32)),
            format!("sha256:{colons}"),
            "subject:CN=airflow,O=Acme".to_owned(),
        ] {
            assert!(function(&good).is_some(), "{good}");
        }
        for bad in ["", "ab", "sha256:", "sha256:abcd", "subject:", "subject: "] {
            assert!(function(bad).is_none(), "{bad}");
        }
    }
}
