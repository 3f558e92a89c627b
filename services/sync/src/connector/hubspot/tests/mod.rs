//! The connector against a scripted server and against the real sandbox.

mod batches;
#[path = "../../../../tests/common/crm.rs"]
mod crm;
mod failures;
mod operations;

use std::time::Duration;

use domain_effect::{EffectRequested, Operation};
use domain_kernel::{EffectId, Json, Timestamp, WorkflowId};
use platform_vault::Zeroizing;
use serde_json::Value;

use self::crm::{Crm, TOKEN};
use super::HubSpot;

/// Short enough to be waited for, long enough for a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(2);

fn hubspot(base_url: &str) -> HubSpot {
    {
        let local = platform_http::Outbound::new(vec!["127.0.0.0/8".parse().unwrap()]);
        HubSpot::new(
            "crm",
            base_url,
            Zeroizing::new(TOKEN.to_owned()),
            TIMEOUT,
            local,
        )
        .unwrap()
    }
}

async fn around() -> (Crm, HubSpot) {
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
