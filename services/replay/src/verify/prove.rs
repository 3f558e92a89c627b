use std::collections::HashMap;

use domain_delivery::{AuthMethod, DeliveryAccepted};
use domain_kernel::{CorrelationId, Metadata};
use domain_registry::ResourceKind;
use http::{HeaderMap, HeaderName, HeaderValue};
use platform_vault::Vault;
use platform_webhooks::{Presented, Verifier};
use projections_registry_view::secret_context;
use sha2::{Digest, Sha256};

use super::sources::{SourceHistory, SourceVersion};

/// What stands behind a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A secret explains the signature.
    Signature,
    /// The sender signed nothing, or more than this; the body is the one whose
    /// digest was recorded.
    Digest,
}

/// Why a delivery could not be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("the body is not the one whose digest was recorded")]
    Body,
    #[error("the correlation id is not that of its source and delivery id")]
    Correlation,
    #[error("it names no key")]
    NoKeyId,
    #[error("no version of the source on the log has this key")]
    UnknownKey,
    #[error(
        "the secret cannot be opened: it was sealed under another key of the deployment, or altered"
    )]
    Sealed,
    #[error("this version cannot check its scheme: {0}")]
    Scheme(String),
    #[error("a header that was recorded is none")]
    Header,
    #[error("it signs the URI, which was not kept when it was recorded")]
    NoUri,
    #[error("the signature does not stand for what is stored: {0}")]
    Signature(&'static str),
    #[error("the signature is right, but {what} is {found}, not {recorded} as recorded")]
    Other {
        what: &'static str,
        found: String,
        recorded: String,
    },
}

/// Proves deliveries, each key opened once.
pub(crate) struct Prover {
    sources: SourceHistory,
    vault: Vault,
    /// By source, version and key.
    opened: HashMap<(String, u64, String), Verifier>,
}

impl Prover {
    pub(crate) fn new(sources: SourceHistory, vault: Vault) -> Self {
        Self {
            sources,
            vault,
            opened: HashMap::new(),
        }
    }

    pub(crate) fn prove(
        &mut self,
        meta: &Metadata,
        delivery: &DeliveryAccepted,
    ) -> Result<Proof, Unproven> {
        if hex::encode(Sha256::digest(&delivery.body)) != delivery.body_sha256 {
            return Err(Unproven::Body);
        }
        if CorrelationId::of_delivery(&delivery.source_id, &delivery.delivery_id)
            != meta.correlation
        {
            return Err(Unproven::Correlation);
        }
        // Of a batch the signature stands for the whole, of which this is a part.
        let of_batch = delivery
            .signed_headers
            .iter()
            .any(|(name, _)| name == "mesh-batch-sha256");
        if of_batch || matches!(delivery.auth, AuthMethod::Bearer | AuthMethod::Mtls) {
            return Ok(Proof::Digest);
        }
        let key_id = delivery.key_id.as_deref().ok_or(Unproven::NoKeyId)?;
        // Of what was recorded without a version, any may be the one.
        let mut why = Unproven::UnknownKey;
        let versions = self.sources.of(&delivery.source_id);
        for version in versions.iter().rev() {
            let fits = version.tenant == meta.tenant
                && version.source.scheme == delivery.scheme
                && delivery
                    .source_version
                    .is_none_or(|recorded| recorded == version.version)
                && version
                    .source
                    .secrets
                    .iter()
                    .any(|secret| secret.id == key_id);
            if !fits {
                continue;
            }
            let place = (
                delivery.source_id.clone(),
                version.version,
                key_id.to_owned(),
            );
            let verifier = match self.opened.get(&place) {
                Some(verifier) => verifier,
                None => {
                    let verifier = open(&self.vault, version, &delivery.source_id, key_id)?;
                    self.opened.entry(place).or_insert(verifier)
                }
            };
            match check(verifier, delivery) {
                Ok(()) => return Ok(Proof::Signature),
                Err(unproven) => why = unproven,
            }
        }
        Err(why)
    }
}

/// The one key, whatever its window: it counted when the delivery came in.
fn open(
    vault: &Vault,
    version: &SourceVersion,
    source_id: &str,
    key_id: &str,
) -> Result<Verifier, Unproven> {
    let source = &version.source;
    let signing = source.signing.as_ref().map(|json| json.as_str());
    let mut verifier = Verifier::of(&source.scheme, signing)
        .map_err(|error| Unproven::Scheme(error.to_string()))?;
    let context = secret_context(ResourceKind::Source, source_id, key_id);
    for secret in source.secrets.iter().filter(|secret| secret.id == key_id) {
        let text = vault
            .open(&secret.sealed, &context)
            .map_err(|_| Unproven::Sealed)?;
        if !verifier.add(&secret.id, &text, None, None) {
            return Err(Unproven::Scheme(
                "the secret does not have its form".to_owned(),
            ));
        }
    }
    Ok(verifier)
}

fn check(verifier: &Verifier, delivery: &DeliveryAccepted) -> Result<(), Unproven> {
    if verifier.signs_uri() && delivery.request.is_none() {
        return Err(Unproven::NoUri);
    }
    let mut headers = HeaderMap::with_capacity(delivery.signed_headers.len());
    for (name, value) in &delivery.signed_headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unproven::Header)?;
        let value = HeaderValue::from_str(value).map_err(|_| Unproven::Header)?;
        headers.append(name, value);
    }
    let request = delivery.request.as_ref();
    let presented = Presented {
        method: request.map_or("POST", |line| line.method.as_str()),
        uri: request.map_or("", |line| line.uri.as_str()),
        headers: &headers,
        body: &delivery.body,
        body_sha256: &delivery.body_sha256,
        now: domain_kernel::Timestamp::from_millis(0),
        // It was fresh when it came in; now only the signature is asked for.
        tolerance_seconds: None,
        certificate: None,
    };
    let authentic = verifier
        .authenticate(&presented)
        .map_err(|refused| Unproven::Signature(refused.detail))?;
    for (what, found, recorded) in [
        (
            "the delivery id",
            authentic.delivery_id.as_str(),
            delivery.delivery_id.as_str(),
        ),
        (
            "the method",
            authentic.auth.as_str(),
            delivery.auth.as_str(),
        ),
    ] {
        if found != recorded {
            return Err(Unproven::Other {
                what,
                found: found.to_owned(),
                recorded: recorded.to_owned(),
            });
        }
    }
    Ok(())
}
