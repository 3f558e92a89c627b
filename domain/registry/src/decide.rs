use domain_kernel::{Decider, Recorded};

use crate::command::{Action, Expected, RegistryCommand};
use crate::error::RegistryRejection;
use crate::event::{RegistryEvent, Resource, ResourceDefined, ResourceRetired};
use crate::react::{NoRequest, react};
use crate::state::RegistryState;

/// One registered resource, through all its versions.
#[derive(Debug)]
pub struct RegistryDecider;

impl Decider for RegistryDecider {
    type State = RegistryState;
    type Command = RegistryCommand;
    type Event = RegistryEvent;
    type Request = NoRequest;
    type Rejection = RegistryRejection;

    fn decide(
        state: &RegistryState,
        command: RegistryCommand,
    ) -> Result<Vec<RegistryEvent>, RegistryRejection> {
        let RegistryCommand {
            id,
            tenant,
            expected,
            action,
        } = command;
        if state.tenant.as_ref().is_some_and(|owner| *owner != tenant) {
            return Err(RegistryRejection::OtherTenant { id });
        }
        match action {
            Action::Define(resource) => {
                // What is wanted is there already. Looked at before the expected
                // version, so that a request repeated after a lost answer succeeds.
                if state.resource.as_ref() == Some(&resource) {
                    return Ok(Vec::new());
                }
                check_version(state, &id, expected)?;
                Ok(vec![defined(id, tenant, resource)])
            }
            Action::Retire(kind) => {
                if state.version == 0 {
                    return Err(RegistryRejection::NotDefined { id });
                }
                if state.is_retired() {
                    return Ok(Vec::new());
                }
                check_version(state, &id, expected)?;
                Ok(vec![RegistryEvent::Retired(ResourceRetired {
                    kind,
                    id,
                    tenant,
                })])
            }
        }
    }

    fn evolve(state: RegistryState, event: &RegistryEvent) -> RegistryState {
        let version = state.version + 1;
        match event {
            RegistryEvent::Defined(defined) => RegistryState {
                version,
                tenant: Some(defined.tenant.clone()),
                resource: Some(defined.resource.clone()),
            },
            RegistryEvent::Retired(retired) => RegistryState {
                version,
                tenant: Some(retired.tenant.clone()),
                resource: None,
            },
        }
    }

    fn react(event: &Recorded<RegistryEvent>) -> Vec<NoRequest> {
        react(event)
    }
}

fn check_version(
    state: &RegistryState,
    id: &str,
    expected: Expected,
) -> Result<(), RegistryRejection> {
    let id = || id.to_owned();
    let version = state.version;
    match expected {
        Expected::Any => Ok(()),
        Expected::Absent if state.resource.is_none() => Ok(()),
        Expected::Absent => Err(RegistryRejection::Exists { id: id(), version }),
        Expected::Version(_) if version == 0 => Err(RegistryRejection::NotDefined { id: id() }),
        Expected::Version(_) if state.is_retired() => {
            Err(RegistryRejection::Retired { id: id(), version })
        }
        Expected::Version(expected) if expected == version => Ok(()),
        Expected::Version(expected) => Err(RegistryRejection::OtherVersion {
            id: id(),
            expected,
            version,
        }),
    }
}

fn defined(id: String, tenant: domain_kernel::TenantId, resource: Resource) -> RegistryEvent {
    RegistryEvent::Defined(ResourceDefined {
        id,
        tenant,
        resource,
    })
}
