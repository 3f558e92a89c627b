//! The connector against a scripted server and against the real sandbox.

mod batches;
#[path = "../../../../tests/common/crm.rs"]
mod crm;
mod failures;
mod operations;

use std::time::Duration;

use domain_effect::{EffectRequested, Operation};
use domain_kernel::{EffectId, Json, Timestamp, WorkflowId};
use futures::future::BoxFuture;
use platform_vault::Zeroizing;
use serde_json::Value;

use self::crm::{Crm, TOKEN};
use super::HubSpot;
use crate::connector::{CallError, Connector as _, Ownership, Written};

/// Short enough to be waited for, long enough for a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A connector of a process that nobody has taken anything from.
struct Portal(HubSpot);

impl Portal {
    fn write<'a>(
        &'a self,
        effect: &'a EffectRequested,
    ) -> BoxFuture<'a, Result<Written, CallError>> {
        self.0.write(effect, &Ours)
    }

    fn find<'a>(
        &'a self,
        effect: &'a EffectRequested,
    ) -> BoxFuture<'a, Result<Option<Written>, CallError>> {
        self.0.find(effect)
    }
}

struct Ours;

impl Ownership for Ours {
    fn confirm(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }
}

fn hubspot(base_url: &str) -> Portal {
    let local = platform_http::Outbound::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let hubspot = HubSpot::new(
        "crm",
        base_url,
        Zeroizing::new(TOKEN.to_owned()),
        TIMEOUT,
        local,
    );
    Portal(hubspot.unwrap())
}

async fn around() -> (Crm, Portal) {
    let crm = Crm::start().await;
    let hubspot = hubspot(&crm.url);
    (crm, hubspot)
}

fn effect(operation: Operation, external_id: &str, properties: Value) -> EffectRequested {
    EffectRequested {
        effect_id: EffectId::derive(&[operation.as_str(), external_id]),
        workflow_id: WorkflowId::derive(&["w"]),
        step: "crm".to_owned(),
        compensation: false,
        connector_id: "crm".to_owned(),
        operation,
        object: "tickets".to_owned(),
        id_property: "agentmesh_id".to_owned(),
        external_id: external_id.to_owned(),
        properties: Json::from_text(properties.to_string()),
        deadline: Timestamp::from_millis(i64::MAX / 1_000),
    }
}
