//! What a resource has to do with those already registered.

use domain_kernel::TenantId;
use domain_registry::{Policy, Resource, ResourceKind, SubscriptionTarget};
use domain_workflow::{Call, Definition};
use platform_rego::{Bundle, Engine};
use projections_registry_view::Snapshot;
use serde_json::json;

use crate::form::{Issues, Warning, Warnings};

/// What the gateway asks of each delivery.
const INGEST: &str = "mesh/ingest";

/// Checks `resource` against what `tenant` has. What it refers to and is not
/// there yet is a warning, because the order of registering is free; policies
/// that do not fit together are an error, because they would stop all ingest.
pub(crate) fn check(
    snapshot: &Snapshot,
    tenant: &TenantId,
    id: &str,
    resource: &Resource,
    warnings: &mut Warnings,
) -> Result<(), Issues> {
    match resource {
        Resource::Policy(policy) => check_policy(snapshot, tenant, id, policy, warnings),
        Resource::Workflow(workflow) => {
            if let Ok(definition) = serde_json::from_str(workflow.definition.as_str()) {
                check_workflow(snapshot, tenant, &definition, warnings);
            }
            Ok(())
        }
        Resource::Subscription(subscription) => {
            if let SubscriptionTarget::Workflow { workflow } = &subscription.target {
                expect(
                    snapshot,
                    tenant,
                    ResourceKind::Workflow,
                    workflow,
                    "/target/workflow",
                    warnings,
                );
            }
            Ok(())
        }
        Resource::Source(_)
        | Resource::Agent(_)
        | Resource::Connector(_)
        | Resource::Key(_)
        | Resource::Issuer(_)
        | Resource::Certificate(_) => Ok(()),
    }
}

/// Compiles the tenant's bundle as it would be.
fn check_policy(
    snapshot: &Snapshot,
    tenant: &TenantId,
    id: &str,
    policy: &Policy,
    warnings: &mut Warnings,
) -> Result<(), Issues> {
    let mut issues = Issues::default();
    let material = snapshot.bundle_material_with(tenant, Some((id, policy)));
    for conflict in &material.conflicts {
        issues.add(
            format!("/data{conflict}"),
            "is defined differently by another policy of this tenant",
        );
    }
    match Bundle::new(material.modules, material.data) {
        Err(error) => issues.add("/modules", error.to_string()),
        Ok(bundle) if !bundle.defines(INGEST) => issues.add(
            "/modules",
            format!("neither this nor another policy of this tenant defines {INGEST}"),
        ),
        Ok(bundle) => {
            let allowed = Engine::evaluate(&bundle, INGEST, &json!({}))
                .ok()
                .and_then(|evaluation| evaluation.result)
                .is_some_and(|result| result["allow"] == json!(true));
            if allowed {
                warnings.push(Warning {
                    pointer: "/modules".to_owned(),
                    detail: format!(
                        "{INGEST} allows a question that says nothing: not deny by default"
                    ),
                });
            }
        }
    }
    if issues.is_empty() {
        Ok(())
    } else {
        Err(issues)
    }
}

fn check_workflow(
    snapshot: &Snapshot,
    tenant: &TenantId,
    definition: &Definition,
    warnings: &mut Warnings,
) {
    for (index, step) in definition.steps.iter().enumerate() {
        let at = format!("/steps/{index}");
        check_call(snapshot, tenant, &step.call, &at, warnings);
        if let Some(compensation) = &step.compensate {
            let at = format!("{at}/compensate");
            check_call(snapshot, tenant, &compensation.call, &at, warnings);
        }
    }
}

fn check_call(
    snapshot: &Snapshot,
    tenant: &TenantId,
    call: &Call,
    at: &str,
    warnings: &mut Warnings,
) {
    match call {
        Call::Agent(call) => {
            let at = format!("{at}/agent");
            let place = format!("{at}/id");
            expect(
                snapshot,
                tenant,
                ResourceKind::Agent,
                &call.id,
                &place,
                warnings,
            );
            if let Some(agent) = snapshot.agent(&call.id)
                && agent.tenant == tenant
                && !agent.resource.tools.contains(&call.tool)
            {
                warnings.push(Warning {
                    pointer: format!("{at}/tool"),
                    detail: format!(
                        "agent {} may not be called with tool {}",
                        call.id, call.tool
                    ),
                });
            }
        }
        Call::Effect(call) => {
            let place = format!("{at}/effect/connector");
            expect(
                snapshot,
                tenant,
                ResourceKind::Connector,
                &call.connector,
                &place,
                warnings,
            );
        }
    }
}

fn expect(
    snapshot: &Snapshot,
    tenant: &TenantId,
    kind: ResourceKind,
    id: &str,
    pointer: &str,
    warnings: &mut Warnings,
) {
    let there = snapshot
        .entry(kind, id)
        .is_some_and(|entry| entry.tenant == *tenant && entry.resource.is_some());
    if !there {
        warnings.push(Warning {
            pointer: pointer.to_owned(),
            detail: format!("this tenant has no {} {id} yet", kind.as_str()),
        });
    }
}
