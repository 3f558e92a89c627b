//! One question, answered over the tenant's bundle.

use domain_kernel::{DecisionId, Json, TenantId};
use domain_policy::PolicyDecided;
use platform_rego::{Bundle, Bundles, ENGINE, Engine, Error};
use projections_registry_view::{RegistryView, Snapshot};
use serde_json::Value;

/// The bundle of `tenant` as registered now. A tenant without policies has an
/// empty one, in which everything is undefined.
pub(crate) fn bundle(
    snapshot: &Snapshot,
    bundles: &Bundles,
    tenant: &TenantId,
) -> Result<Bundle, Error> {
    let version = snapshot.bundle_version(tenant).unwrap_or_default();
    bundles.get(tenant.as_str(), &version, || {
        let material = snapshot.bundle_material(tenant);
        (material.modules, material.data)
    })
}

/// The one tenant that has policies, for deployments that have one tenant.
pub(crate) fn only_tenant(view: &RegistryView) -> Option<TenantId> {
    let snapshot = view.snapshot();
    let mut tenants = snapshot.tenants_with_policies().into_iter();
    let tenant = tenants.next()?;
    tenants.next().is_none().then_some(tenant)
}

/// Asks, and words the answer as it is recorded.
pub(crate) fn decide(
    bundle: &Bundle,
    decision_id: DecisionId,
    path: &str,
    input: &Value,
) -> Result<(PolicyDecided, Option<Value>), Error> {
    let evaluation = Engine::evaluate(bundle, path, input)?;
    let result = evaluation.result;
    let decided = PolicyDecided {
        decision_id,
        path: path.to_owned(),
        bundle_digest: bundle.digest().to_owned(),
        input: Json::from_text(input.to_string()),
        result: result
            .as_ref()
            .map(|result| Json::from_text(result.to_string())),
        allow: result.as_ref().is_some_and(allows),
        reasons: result.as_ref().map(reasons).unwrap_or_default(),
        engine: ENGINE.to_owned(),
        duration_us: u64::try_from(evaluation.duration.as_micros()).unwrap_or(u64::MAX),
    };
    Ok((decided, result))
}

/// A result allows when it is `true`, or an object whose `allow` is `true`.
fn allows(result: &Value) -> bool {
    match result {
        Value::Bool(allow) => *allow,
        Value::Object(members) => members.get("allow") == Some(&Value::Bool(true)),
        _ => false,
    }
}

fn reasons(result: &Value) -> Vec<String> {
    let Some(Value::Array(reasons)) = result.get("reasons") else {
        return Vec::new();
    };
    reasons
        .iter()
        .map(|reason| match reason {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_plain_true_allows() {
        for allowing in [json!(true), json!({"allow": true, "reasons": []})] {
            assert!(allows(&allowing), "{allowing}");
        }
        for denying in [
            json!(false),
            json!(null),
            json!("true"),
            json!(1),
            json!([true]),
            json!({}),
            json!({"allow": "true"}),
            json!({"allow": false}),
            json!({"allowed": true}),
        ] {
            assert!(!allows(&denying), "{denying}");
        }
    }

    #[test]
    fn the_answer_is_worded_for_the_record() {
        let text = r#"
            package mesh.ingest
            default allow := false
            reasons contains "too large" if input.n > 1
        "#;
        let bundle = Bundle::new(vec![("p.rego".to_owned(), text.to_owned())], json!({})).unwrap();
        let id = DecisionId::derive(&["d"]);
        let (decided, result) = decide(&bundle, id, "mesh/ingest", &json!({"n": 2})).unwrap();
        assert_eq!(
            result,
            Some(json!({"allow": false, "reasons": ["too large"]}))
        );
        assert!(!decided.allow);
        assert_eq!(decided.reasons, ["too large"]);
        assert_eq!(decided.bundle_digest, bundle.digest());
        assert_eq!(decided.input.as_str(), r#"{"n":2}"#);

        let (undefined, result) = decide(&bundle, id, "mesh/nothing", &json!({})).unwrap();
        assert_eq!(
            (result, undefined.allow, undefined.result.clone()),
            (None, false, None)
        );
        undefined.check().unwrap();
    }

    #[test]
    fn a_tenant_without_policies_has_an_empty_bundle() {
        let bundles = Bundles::default();
        let bundle = bundle(&Snapshot::default(), &bundles, &TenantId::new("acme")).unwrap();
        let id = DecisionId::derive(&["d"]);
        let (decided, result) = decide(&bundle, id, "mesh/ingest", &json!({})).unwrap();
        assert_eq!(result, None);
        assert!(!decided.allow);
    }
}
