#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_effect::{
    EffectAttempted, EffectCancelled, EffectConfirmed, EffectEvent, EffectFailed, EffectReconciled,
    EffectRequest, EffectRequested, EffectUnknown, Operation,
};
use domain_kernel::{EffectId, Json, Recorded, Timestamp, WorkflowId};
use projections_effects::{EffectsProjection, by_correlation, by_id, outcomes};
use schemas::{Effects, Outcomes};
use testing::{MANY, Mesh, again, correlation, recorded};

fn id(name: &str) -> EffectId {
    EffectId::derive(&[name])
}

fn workflow_id() -> WorkflowId {
    WorkflowId::derive(&["w"])
}

fn requested(name: &str) -> Recorded<EffectRequest> {
    let event = EffectRequest::Requested(EffectRequested {
        effect_id: id(name),
        workflow_id: workflow_id(),
        step: "crm".to_owned(),
        compensation: false,
        connector_id: "crm".to_owned(),
        operation: Operation::Upsert,
        object: "tickets".to_owned(),
        id_property: "agentmesh_id".to_owned(),
        external_id: name.to_owned(),
        properties: Json::from_text("{}"),
        deadline: Timestamp::from_millis(1_760_000_000_000),
    });
    recorded(&format!("{name} request"), 1, event)
}

fn outcome(name: &str, version: u64, event: EffectEvent) -> Recorded<EffectEvent> {
    recorded(&format!("{name} outcome"), version, event)
}

fn attempted(name: &str, version: u64, attempt: u32) -> Recorded<EffectEvent> {
    let event = EffectEvent::Attempted(EffectAttempted {
        effect_id: id(name),
        workflow_id: workflow_id(),
        step: "crm".to_owned(),
        connector_id: "crm".to_owned(),
        operation: Operation::Upsert,
        object: "tickets".to_owned(),
        external_id: name.to_owned(),
        attempt,
    });
    outcome(name, version, event)
}

fn way_of_an_unknown_one() -> [Recorded<EffectEvent>; 4] {
    [
        attempted("unknown", 1, 1),
        outcome(
            "unknown",
            2,
            EffectEvent::Unknown(EffectUnknown {
                effect_id: id("unknown"),
                workflow_id: workflow_id(),
                step: "crm".to_owned(),
                connector_id: "crm".to_owned(),
                reason: "timeout".to_owned(),
            }),
        ),
        outcome(
            "unknown",
            3,
            EffectEvent::Reconciled(EffectReconciled {
                effect_id: id("unknown"),
                workflow_id: workflow_id(),
                step: "crm".to_owned(),
                connector_id: "crm".to_owned(),
                found: true,
                remote_id: Some("512".to_owned()),
            }),
        ),
        outcome(
            "unknown",
            4,
            EffectEvent::Confirmed(EffectConfirmed {
                effect_id: id("unknown"),
                workflow_id: workflow_id(),
                step: "crm".to_owned(),
                compensation: false,
                connector_id: "crm".to_owned(),
                remote_id: "512".to_owned(),
                remote_version: "v1".to_owned(),
                properties_sha256: "00".to_owned(),
                evidence: domain_effect::Evidence::Answer,
            }),
        ),
    ]
}

fn failed(name: &str) -> Recorded<EffectEvent> {
    outcome(
        name,
        2,
        EffectEvent::Failed(EffectFailed {
            effect_id: id(name),
            workflow_id: workflow_id(),
            step: "crm".to_owned(),
            compensation: false,
            connector_id: "crm".to_owned(),
            code: "rejected".to_owned(),
            reason: "400".to_owned(),
        }),
    )
}

fn cancelled(name: &str) -> Recorded<EffectRequest> {
    recorded(
        &format!("{name} request"),
        2,
        EffectRequest::Cancelled(EffectCancelled {
            effect_id: id(name),
            workflow_id: workflow_id(),
            step: "crm".to_owned(),
            connector_id: "crm".to_owned(),
            object: "tickets".to_owned(),
            external_id: name.to_owned(),
            reason: "deadline".to_owned(),
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_shows_the_last_that_is_known_of_it() {
    let mesh = Mesh::new("effects").await;
    let mut requests = ["unknown", "failed", "cancelled", "waiting", "tried"]
        .map(requested)
        .to_vec();
    requests.push(cancelled("cancelled"));
    let mut answers = way_of_an_unknown_one().to_vec();
    answers.extend([
        attempted("failed", 1, 3),
        failed("failed"),
        attempted("tried", 1, 1),
    ]);
    let encode = |requests: &[Recorded<_>], answers: &[Recorded<_>]| {
        let answers = answers.iter().map(|event| mesh.record::<Outcomes>(event));
        let requests = requests.iter().map(|event| mesh.record::<Effects>(event));
        answers.chain(requests).collect::<Vec<_>>()
    };
    let records = encode(&requests, &answers);
    let repeats = encode(
        &requests.iter().rev().map(again).collect::<Vec<_>>(),
        &answers.iter().rev().map(again).collect::<Vec<_>>(),
    );
    mesh.laws(EffectsProjection::new, records, repeats).await;

    let status = async |name: &str| by_id(&mesh.pool, id(name)).await.unwrap().unwrap().status;
    assert_eq!(status("cancelled").await, "cancelled");
    assert_eq!(status("waiting").await, "requested");
    assert_eq!(status("tried").await, "attempted");
    let failed = by_id(&mesh.pool, id("failed")).await.unwrap().unwrap();
    assert_eq!((failed.status.as_str(), failed.attempts), ("failed", 3));
    assert_eq!(failed.code.as_deref(), Some("rejected"));
    let confirmed = by_id(&mesh.pool, id("unknown")).await.unwrap().unwrap();
    assert_eq!(confirmed.status, "confirmed");
    assert_eq!(confirmed.remote_id.as_deref(), Some("512"));
    let way = outcomes(&mesh.pool, id("unknown")).await.unwrap();
    let kinds: Vec<_> = way.iter().map(|outcome| outcome.kind.as_str()).collect();
    assert_eq!(kinds, ["attempted", "unknown", "reconciled", "confirmed"]);
    let all = by_correlation(&mesh.pool, correlation()).await.unwrap();
    assert_eq!(all.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("effects_many").await;
    let records = (0..MANY)
        .flat_map(|n| {
            let name = n.to_string();
            let requests = [requested(&name), cancelled(&name)];
            let outcomes = [attempted(&name, 1, 1), failed(&name)];
            let requests = requests.map(|event| mesh.record::<Effects>(&event));
            let outcomes = outcomes.map(|event| mesh.record::<Outcomes>(&event));
            requests.into_iter().chain(outcomes)
        })
        .collect();
    mesh.few_or_many_give_the_same_rows(EffectsProjection::new, records)
        .await;
}
