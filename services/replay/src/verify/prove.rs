use std::collections::HashMap;

use domain_delivery::{AuthMethod, DeliveryAccepted};
use domain_kernel::{CorrelationId, Metadata, TenantId};
use domain_registry::ResourceKind;
use http::{HeaderMap, HeaderName, HeaderValue};
use platform_vault::Vault;
use platform_webhooks::{Presented, Verifier};
use projections_registry_view::secret_context;
use sha2::{Digest, Sha256};

use super::batch;
use super::sources::{SourceHistory, SourceVersion, signs};

/// What stands behind a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A secret explains the signature.
    Signature,
    /// The source's scheme signs nothing; the body is the one whose digest was
    /// recorded.
    Unsigned,
    /// The signature is over a batch that is not there as a whole; of the part
    /// only the digest was compared.
    BatchDigest,
}

/// Why a delivery could not be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("the body is not the one whose digest was recorded")]
    Body,
    #[error("the correlation id is not that of its source and delivery id")]
    Correlation,
    #[error("the registry's log has no such source, or not in this version, or not of this tenant")]
    UnknownVersion,
    #[error(
        "it is recorded under scheme {recorded}, which the registry's log does not say of the source"
    )]
    OtherScheme { recorded: String },
    #[error("it is recorded as let in by {recorded}, and its source's scheme is {scheme}")]
    OtherMethod {
        recorded: &'static str,
        scheme: String,
    },
    #[error("it is recorded as unsigned, and its source had a scheme that signs at that time")]
    NotInForce,
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
    #[error("it is recorded as part of a batch and cannot be one: {0}")]
    NoPart(&'static str),
    #[error("it is recorded as all that was in a batch, and the batch's digest is not over it")]
    NotTheWhole,
    #[error("another body is recorded for the same event of the batch")]
    OtherPart,
}

/// What a signature has to stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) body: &'a [u8],
    /// Lowercase hexadecimal.
    pub(crate) body_sha256: &'a str,
    /// None where the id that was signed is not recorded.
    pub(crate) delivery_id: Option<&'a str>,
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

    /// Which proof it needs is what the registry's log says of its source: what
    /// the record says of itself is what is in question. None of a part of a
    /// batch, which is proven with the others.
    pub(crate) fn prove(
        &mut self,
        meta: &Metadata,
        delivery: &DeliveryAccepted,
    ) -> Result<Option<Proof>, Unproven> {
        if hex::encode(Sha256::digest(&delivery.body)) != delivery.body_sha256 {
            return Err(Unproven::Body);
        }
        if CorrelationId::of_delivery(&delivery.source_id, &delivery.delivery_id)
            != meta.correlation
        {
            return Err(Unproven::Correlation);
        }
        let key_id = delivery.key_id.as_deref().ok_or(Unproven::NoKeyId)?;
        let mut versions = candidates(&self.sources, &meta.tenant, delivery)?;
        let signs = signs(&delivery.scheme);
        let let_in = matches!(delivery.auth, AuthMethod::Bearer | AuthMethod::Mtls);
        if signs == let_in || (!signs && delivery.auth.as_str() != delivery.scheme) {
            return Err(Unproven::OtherMethod {
                recorded: delivery.auth.as_str(),
                scheme: delivery.scheme.clone(),
            });
        }
        versions.retain(|version| version.has_key(key_id));
        if versions.is_empty() {
            return Err(Unproven::UnknownKey);
        }
        if !signs {
            let in_force = versions.into_iter().any(|version| {
                self.sources
                    .unsigned_at(&delivery.source_id, version, meta.at)
            });
            return if in_force {
                Ok(Some(Proof::Unsigned))
            } else {
                Err(Unproven::NotInForce)
            };
        }
        if batch::is_part(delivery) {
            return Ok(None);
        }
        let signed = Signed {
            body: &delivery.body,
            body_sha256: &delivery.body_sha256,
            delivery_id: Some(&delivery.delivery_id),
        };
        self.signature(&meta.tenant, delivery, signed)?;
        Ok(Some(Proof::Signature))
    }

    /// Whether the key that `delivery` names explains its signature over `signed`.
    pub(crate) fn signature(
        &mut self,
        tenant: &TenantId,
        delivery: &DeliveryAccepted,
        signed: Signed<'_>,
    ) -> Result<(), Unproven> {
        let key_id = delivery.key_id.as_deref().ok_or(Unproven::NoKeyId)?;
        // Of what was recorded without a version, any may be the one: whichever
        // it was, nobody without its secret could sign.
        let mut why = Unproven::UnknownKey;
        for version in candidates(&self.sources, tenant, delivery)? {
            if !version.has_key(key_id) {
                continue;
            }
            let place = (
                delivery.source_id.clone(),
                version.version,
                key_id.to_owned(),
            );
            let verifier = match self.opened.get(&place) {
                Some(verifier) => verifier,
                None => match open(&self.vault, version, &delivery.source_id, key_id) {
                    Ok(verifier) => self.opened.entry(place).or_insert(verifier),
                    Err(unproven) => {
                        why = unproven;
                        continue;
                    }
                },
            };
            match check(verifier, delivery, signed) {
                Ok(()) => return Ok(()),
                Err(unproven) => why = unproven,
            }
        }
        Err(why)
    }
}

/// The versions of the source that may have checked it, the newest first: the
/// one that was recorded, or each of the scheme where none was.
fn candidates<'a>(
    sources: &'a SourceHistory,
    tenant: &TenantId,
    delivery: &DeliveryAccepted,
) -> Result<Vec<&'a SourceVersion>, Unproven> {
    let mut versions: Vec<_> = sources
        .of(&delivery.source_id)
        .iter()
        .rev()
        .filter(|version| {
            version.tenant == *tenant
                && delivery
                    .source_version
                    .is_none_or(|recorded| recorded == version.version)
        })
        .collect();
    if versions.is_empty() {
        return Err(Unproven::UnknownVersion);
    }
    versions.retain(|version| version.source.scheme == delivery.scheme);
    if versions.is_empty() {
        return Err(Unproven::OtherScheme {
            recorded: delivery.scheme.clone(),
        });
    }
    Ok(versions)
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

fn check(
    verifier: &Verifier,
    delivery: &DeliveryAccepted,
    signed: Signed<'_>,
) -> Result<(), Unproven> {
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
        body: signed.body,
        body_sha256: signed.body_sha256,
        now: domain_kernel::Timestamp::from_millis(0),
        // It was fresh when it came in; now only the signature is asked for.
        tolerance_seconds: None,
        certificate: None,
    };
    let authentic = verifier
        .authenticate(&presented)
        .map_err(|refused| Unproven::Signature(refused.detail))?;
    let found_id = authentic.delivery_id.as_str();
    for (what, found, recorded) in [
        (
            "the delivery id",
            found_id,
            signed.delivery_id.unwrap_or(found_id),
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
