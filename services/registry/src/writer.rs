//! The one way into `mesh.registry`.

use std::time::Duration;

use domain_kernel::{Actor, CorrelationId, Decider as _, EventId, Metadata, Recorded, TenantId};
use domain_registry::{
    Action, Expected, RegistryCommand, RegistryDecider, RegistryEvent, RegistryRejection,
    RegistryState, ResourceKind,
};
use platform_log::{Encoder, Producer};
use platform_vault::Vault;
use projections_registry_view::{RegistryView, Snapshot};
use schemas::Registry;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::form::{Draft, Issues, Warnings};
use crate::leadership::Leading;
use crate::neighbours;
use crate::seal::{SealError, seal};

/// How long an appended event may take to be read back.
const READ_BACK: Duration = Duration::from_secs(10);
const SOURCE: &str = "/agentmesh/registry";

pub(crate) struct Writer {
    pub(crate) view: RegistryView,
    pub(crate) vault: Vault,
    pub(crate) encoder: Encoder,
    pub(crate) producer: Producer,
    pub(crate) leading: Leading,
    /// Different in each process, so that two writers never make one event id.
    pub(crate) instance: String,
    /// Commands are followed one after the other.
    pub(crate) turn: Mutex<()>,
}

/// What an operator wants, as the request says it.
pub(crate) struct Request {
    pub(crate) kind: ResourceKind,
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) precondition: Precondition,
    /// None to retire.
    pub(crate) draft: Option<Draft>,
    /// Who wants it, where that is known.
    pub(crate) actor: Option<Actor>,
}

/// Under which condition; see RFC 9110, section 13.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match` with these versions.
    OneOf(Vec<u64>),
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) created: bool,
    pub(crate) warnings: Warnings,
}

#[derive(Debug)]
pub(crate) enum WriteError {
    Invalid(Issues),
    Rejected(RegistryRejection),
    /// Another event took the version.
    Overtaken,
    /// Not now, and nothing was changed.
    NotLeading,
    /// The log did not answer; the change may or may not have been made.
    Log,
    Internal,
}

impl Writer {
    /// Follows one command, up to the event's being read back.
    pub(crate) async fn write(&self, request: Request) -> Result<Written, WriteError> {
        let _turn = self.turn.lock().await;
        if !*self.leading.borrow() {
            return Err(WriteError::NotLeading);
        }
        let Request {
            kind,
            id,
            tenant,
            precondition,
            draft,
            actor,
        } = request;
        let snapshot = self.view.snapshot();
        let state = state_of(&snapshot, kind, &id);
        let existed = state.resource.is_some();
        let expected = expected(&precondition, &state);
        let (action, warnings) = match draft {
            Some(draft) => self.prepare(&snapshot, &state, &tenant, &id, draft)?,
            None => (Action::Retire(kind), Warnings::new()),
        };
        let command = RegistryCommand {
            id: id.clone(),
            tenant: tenant.clone(),
            expected,
            action,
        };
        let events = RegistryDecider::decide(&state, command).map_err(WriteError::Rejected)?;
        let created = !events.is_empty() && !existed;
        for (event, version) in events.into_iter().zip(state.version + 1..) {
            let stream = format!("{}/{id}", kind.as_str());
            let mut recorded = self.record(tenant.clone(), stream, version, event);
            recorded.meta.actor = actor.clone();
            self.append(recorded).await?;
        }
        Ok(Written { created, warnings })
    }

    /// Everything that can be wrong with a definition is found before anything
    /// is appended.
    fn prepare(
        &self,
        snapshot: &Snapshot,
        state: &RegistryState,
        tenant: &TenantId,
        id: &str,
        draft: Draft,
    ) -> Result<(Action, Warnings), WriteError> {
        // Nothing of another tenant's resource is looked at, not even to compare.
        if state.tenant.as_ref().is_some_and(|owner| owner != tenant) {
            return Err(WriteError::Rejected(RegistryRejection::OtherTenant {
                id: id.to_owned(),
            }));
        }
        let Draft {
            mut resource,
            clear,
            mut warnings,
        } = draft;
        let on_record = state.resource.as_ref();
        seal(&mut resource, id, &clear, on_record, &self.vault).map_err(|failed| match failed {
            SealError::Issues(issues) => WriteError::Invalid(issues),
            SealError::Vault(error) => {
                error!(error = %error, "a secret could not be sealed");
                WriteError::Internal
            }
        })?;
        neighbours::check(snapshot, tenant, id, &resource, &mut warnings)
            .map_err(WriteError::Invalid)?;
        Ok((Action::Define(resource), warnings))
    }

    fn record(
        &self,
        tenant: TenantId,
        stream: String,
        version: u64,
        event: RegistryEvent,
    ) -> Recorded<RegistryEvent> {
        let at = platform_telemetry::now();
        let id = EventId::derive(&[
            "registry",
            &self.instance,
            &stream,
            &version.to_string(),
            &at.as_micros().to_string(),
        ]);
        Recorded {
            meta: Metadata {
                id,
                tenant,
                correlation: CorrelationId::derive(&["registry", &id.to_string()]),
                causation: None,
                stream,
                version,
                at,
                source: SOURCE.to_owned(),
                traceparent: platform_telemetry::current_traceparent(),
                actor: None,
            },
            event,
        }
    }

    /// Appends and waits until our own reading of the log shows that the event
    /// was the first at its version.
    async fn append(&self, recorded: Recorded<RegistryEvent>) -> Result<(), WriteError> {
        let outgoing = self
            .encoder
            .encode::<Registry>(&recorded)
            .map_err(|error| {
                error!(error = %error, cause = ?error, "a registry event does not encode");
                WriteError::Internal
            })?;
        let awaited = self.view.expect(recorded.meta.id);
        if let Err(error) = self.producer.append(outgoing).await {
            warn!(error = %error, cause = ?error, "a registry event was not acknowledged");
            return Err(WriteError::Log);
        }
        let stream = recorded.meta.stream;
        let version = recorded.meta.version;
        match tokio::time::timeout(READ_BACK, awaited.won()).await {
            Ok(Ok(true)) => {
                info!(registry.stream = %stream, registry.version = version, "resource recorded");
                metrics::counter!("agentmesh_registry_events_total").increment(1);
                Ok(())
            }
            Ok(Ok(false)) => {
                warn!(registry.stream = %stream, registry.version = version, "another registry event took this version");
                Err(WriteError::Overtaken)
            }
            Ok(Err(_)) | Err(_) => {
                warn!(registry.stream = %stream, registry.version = version, "a registry event was not read back");
                Err(WriteError::Log)
            }
        }
    }
}

/// The decider's state, from the fold the view has made already.
fn state_of(snapshot: &Snapshot, kind: ResourceKind, id: &str) -> RegistryState {
    match snapshot.entry(kind, id) {
        Some(entry) => RegistryState {
            version: entry.version,
            tenant: Some(entry.tenant.clone()),
            resource: entry.resource.clone(),
        },
        None => RegistryState::default(),
    }
}

fn expected(precondition: &Precondition, state: &RegistryState) -> Expected {
    let current = state.version;
    match precondition {
        Precondition::None => Expected::Any,
        Precondition::Absent => Expected::Absent,
        Precondition::Present => Expected::Version(current),
        Precondition::OneOf(versions) if versions.contains(&current) => Expected::Version(current),
        // None of them matches; which one is named does not matter.
        Precondition::OneOf(versions) => {
            Expected::Version(versions.first().copied().unwrap_or_default())
        }
    }
}
