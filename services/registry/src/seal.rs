//! Secrets on their way into an event.

use domain_registry::{Resource, Secret};
use platform_vault::Vault;
use projections_registry_view::secret_context;

use crate::form::{ClearSecrets, Issues};

/// Why secrets could not be sealed.
#[derive(Debug)]
pub(crate) enum SealError {
    /// The author has to give more.
    Issues(Issues),
    Vault(platform_vault::Error),
}

/// Seals the secrets of `resource`, given in `clear` by id.
///
/// A secret on record that is the same, or for which none is given, keeps its
/// sealed text, so that a definition put again is equal to the one on record
/// although sealing the same text twice gives two texts.
pub(crate) fn seal(
    resource: &mut Resource,
    id: &str,
    clear: &ClearSecrets,
    on_record: Option<&Resource>,
    vault: &Vault,
) -> Result<(), SealError> {
    let kind = resource.kind();
    let mut issues = Issues::default();
    for (secret, place) in secrets_mut(resource) {
        let context = secret_context(kind, id, &secret.id);
        let known = on_record.and_then(|known| find(known, &secret.id));
        match (clear.get(&secret.id), known) {
            (Some(text), Some(known)) if opens_to(vault, known, &context, text) => {
                secret.sealed = known.sealed.clone();
            }
            (Some(text), _) => {
                secret.sealed = vault.seal(text, &context).map_err(SealError::Vault)?;
            }
            (None, Some(known)) => secret.sealed = known.sealed.clone(),
            (None, None) => issues.add(
                format!("{place}/secret"),
                "is required: no secret with this id is on record",
            ),
        }
    }
    if issues.is_empty() {
        Ok(())
    } else {
        Err(SealError::Issues(issues))
    }
}

fn opens_to(vault: &Vault, known: &Secret, context: &str, text: &str) -> bool {
    // One that does not open any more, say after a change of key, is sealed anew.
    vault
        .open(&known.sealed, context)
        .is_ok_and(|known| known.as_str() == text)
}

fn secrets_mut(resource: &mut Resource) -> Vec<(&mut Secret, String)> {
    match resource {
        Resource::Source(source) => source
            .secrets
            .iter_mut()
            .enumerate()
            .map(|(index, secret)| (secret, format!("/secrets/{index}")))
            .collect(),
        Resource::Connector(connector) => {
            vec![(&mut connector.credential, "/credential".to_owned())]
        }
        Resource::Agent(_)
        | Resource::Policy(_)
        | Resource::Subscription(_)
        | Resource::Workflow(_)
        // Of a key there is only a digest.
        | Resource::Key(_)
        | Resource::Issuer(_)
        | Resource::Certificate(_) => Vec::new(),
    }
}

fn find<'a>(resource: &'a Resource, id: &str) -> Option<&'a Secret> {
    let secrets = match resource {
        Resource::Source(source) => source.secrets.as_slice(),
        Resource::Connector(connector) => std::slice::from_ref(&connector.credential),
        Resource::Agent(_)
        | Resource::Policy(_)
        | Resource::Subscription(_)
        | Resource::Workflow(_)
        | Resource::Key(_)
        | Resource::Issuer(_)
        | Resource::Certificate(_) => &[],
    };
    secrets.iter().find(|secret| secret.id == id)
}

#[cfg(test)]
mod tests {
    use domain_registry::{Connector, ResourceKind};
    use platform_vault::Zeroizing;

    use super::*;

    fn vault() -> Vault {
        Vault::from_key_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
    }

    fn connector() -> Resource {
        Resource::Connector(Connector {
            system: "hubspot".to_owned(),
            base_url: "http://127.0.0.1:3020".to_owned(),
            credential: Secret {
                id: "primary".to_owned(),
                sealed: String::new(),
                valid_from: None,
                valid_until: None,
            },
            timeout_ms: 1_000,
            max_attempts: 1,
        })
    }

    fn given(text: &str) -> ClearSecrets {
        ClearSecrets::from([("primary".to_owned(), Zeroizing::new(text.to_owned()))])
    }

    fn sealed(clear: &ClearSecrets, on_record: Option<&Resource>) -> Result<Resource, SealError> {
        let mut resource = connector();
        seal(&mut resource, "crm", clear, on_record, &vault())?;
        Ok(resource)
    }

    #[test]
    fn the_same_secret_keeps_its_sealed_text() {
        let first = sealed(&given("token-one"), None).unwrap();
        assert_eq!(sealed(&given("token-one"), Some(&first)).unwrap(), first);
        assert_eq!(sealed(&ClearSecrets::new(), Some(&first)).unwrap(), first);
        assert_ne!(sealed(&given("token-two"), Some(&first)).unwrap(), first);
    }

    #[test]
    fn a_sealed_secret_opens_for_its_resource_only() {
        let resource = sealed(&given("token-one"), None).unwrap();
        let secret = find(&resource, "primary").unwrap();
        let context = secret_context(ResourceKind::Connector, "crm", "primary");
        assert!(!secret.sealed.contains("token-one"));
        assert!(opens_to(&vault(), secret, &context, "token-one"));
        let other = secret_context(ResourceKind::Connector, "other", "primary");
        assert!(!opens_to(&vault(), secret, &other, "token-one"));
    }

    #[test]
    fn a_secret_neither_given_nor_on_record_is_asked_for() {
        let Err(SealError::Issues(issues)) = sealed(&ClearSecrets::new(), None) else {
            panic!("sealed nothing");
        };
        let pointers: Vec<_> = issues.iter().map(|issue| issue.pointer.clone()).collect();
        assert_eq!(pointers, ["/credential/secret"]);
    }
}
