//! The question to policy, asked in process.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain_delivery::Quarantine;
use domain_kernel::{CorrelationId, DecisionId, Json, TenantId};
use domain_policy::PolicyDecided;
use platform_rego::{Bundle, Bundles, ENGINE, Engine};
use platform_webhooks::Authentic;
use projections_registry_view::{RegistryView, Snapshot};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::describe::Description;
use crate::metrics;
use crate::sources::KnownSource;

/// The rule that is asked.
pub(crate) const PATH: &str = "mesh/ingest";
/// Texts of a policy's `reasons` that are kept.
const MAX_REASONS: usize = 32;

/// Policy gave no answer; which means no, but not "no" for good.
#[derive(Debug, thiserror::Error)]
#[error("policy gave no answer")]
pub(crate) struct Unanswered(#[from] platform_rego::Error);

/// Every tenant's policies, compiled.
#[derive(Debug)]
pub(crate) struct Policies {
    view: RegistryView,
    compiled: Bundles,
    current: RwLock<Current>,
}

/// The bundles of one state of the registry.
#[derive(Debug, Default)]
struct Current {
    snapshot: Arc<Snapshot>,
    bundles: HashMap<TenantId, Bundle>,
}

impl Policies {
    pub(crate) fn new(view: RegistryView) -> Self {
        Self {
            view,
            compiled: Bundles::default(),
            current: RwLock::default(),
        }
    }

    /// Asks whether the delivery may come in. A rule that is undefined denies,
    /// and so does a tenant without policies.
    ///
    /// # Errors
    /// When the bundle does not compile or the evaluation fails.
    pub(crate) fn decide(
        &self,
        correlation: CorrelationId,
        source: &KnownSource,
        authentic: &Authentic,
        description: &Description,
        quarantine: Option<Quarantine>,
        body: Body,
    ) -> Result<PolicyDecided, Unanswered> {
        let input = input(source, authentic, description, quarantine, body);
        self.ask(&source.tenant, correlation, PATH, input)
    }

    /// Asks the rule `path` of a tenant's policies. Undefined is no.
    ///
    /// # Errors
    /// When the bundle does not compile or the evaluation fails.
    pub(crate) fn ask(
        &self,
        tenant: &TenantId,
        correlation: CorrelationId,
        path: &str,
        input: Value,
    ) -> Result<PolicyDecided, Unanswered> {
        let bundle = self.bundle(tenant)?;
        let evaluation = Engine::evaluate(&bundle, path, &input)?;
        let allow = evaluation
            .result
            .as_ref()
            .and_then(|result| result.get("allow"))
            == Some(&Value::Bool(true));
        metrics::policy_decided(if allow { "allow" } else { "deny" }, evaluation.duration);
        let input = input.to_string();
        Ok(PolicyDecided {
            decision_id: decision_id(correlation, bundle.digest(), &input, allow),
            path: path.to_owned(),
            bundle_digest: bundle.digest().to_owned(),
            input: Json::from_text(input),
            reasons: reasons(evaluation.result.as_ref()),
            result: evaluation
                .result
                .map(|result| Json::from_text(result.to_string())),
            allow,
            engine: ENGINE.to_owned(),
            duration_us: u64::try_from(evaluation.duration.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// The tenant's bundle, compiled once for each version of its policies.
    fn bundle(&self, tenant: &TenantId) -> Result<Bundle, Unanswered> {
        let snapshot = self.view.snapshot();
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current.snapshot, &snapshot)
            && let Some(bundle) = current.bundles.get(tenant)
        {
            return Ok(bundle.clone());
        }
        drop(current);
        // A tenant without policies has a bundle too: the one that defines nothing.
        let version = snapshot.bundle_version(tenant).unwrap_or_default();
        let bundle = self.compiled.get(tenant.as_str(), &version, || {
            let material = snapshot.bundle_material(tenant);
            (material.modules, material.data)
        })?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.snapshot, &snapshot) {
            *current = Current {
                snapshot,
                bundles: HashMap::new(),
            };
        }
        current.bundles.insert(tenant.clone(), bundle.clone());
        Ok(bundle)
    }
}

/// What a delivery says.
pub(crate) struct Body {
    pub(crate) parsed: Value,
    /// As it came.
    pub(crate) bytes: usize,
}

fn input(
    source: &KnownSource,
    authentic: &Authentic,
    description: &Description,
    quarantine: Option<Quarantine>,
    body: Body,
) -> Value {
    // Inserted, not written with json!, which would copy the body.
    let mut input = Map::new();
    for (name, value) in [
        ("tenant", source.tenant.as_str().into()),
        ("space", source.space.as_str().into()),
        ("source", source.id.as_str().into()),
        ("scheme", source.source.scheme.as_str().into()),
        ("auth", authentic.auth.as_str().into()),
        ("event_type", description.event_type.as_str().into()),
        ("subject", description.subject.as_deref().into()),
        ("quarantine", quarantine.map(Quarantine::as_str).into()),
        ("body", body.parsed),
        ("body_bytes", body.bytes.into()),
    ] {
        input.insert(name.to_owned(), value);
    }
    Value::Object(input)
}

/// The same question to the same bundle with the same verdict has the same id:
/// a repeat after a lost acknowledgement is no second decision.
fn decision_id(
    correlation: CorrelationId,
    bundle_digest: &str,
    input: &str,
    allow: bool,
) -> DecisionId {
    DecisionId::derive(&[
        &correlation.to_string(),
        bundle_digest,
        &hex::encode(Sha256::digest(input)),
        if allow { "allow" } else { "deny" },
    ])
}

/// The texts under `reasons`, for the auditor.
fn reasons(result: Option<&Value>) -> Vec<String> {
    let Some(Value::Array(reasons)) = result.and_then(|result| result.get("reasons")) else {
        return Vec::new();
    };
    reasons
        .iter()
        .filter_map(Value::as_str)
        .take(MAX_REASONS)
        .map(str::to_owned)
        .collect()
}
