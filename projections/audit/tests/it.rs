#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent};
use domain_kernel::{Space, WorkflowId};
use domain_workflow::{StepCompensated, WorkflowEvent, WorkflowSucceeded};
use projections_audit::{AuditProjection, by_correlation, by_id};
use schemas::{Deliveries, Workflows};
use testing::{MANY, Mesh, again, correlation, recorded};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_kept_once_in_causal_order() {
    let mesh = Mesh::new("audit").await;
    let accepted = recorded(
        "delivery",
        // Recorded by a clock that is ahead of the others.
        1_000,
        DeliveryEvent::Accepted(DeliveryAccepted {
            source_id: "zapier".to_owned(),
            delivery_id: "msg_1".to_owned(),
            space: Space::new("support"),
            scheme: "standard-webhooks".to_owned(),
            auth: AuthMethod::HmacSha256,
            key_id: None,
            content_type: "application/octet-stream".to_owned(),
            body: vec![0xff; 1 << 20],
            body_sha256: "00".to_owned(),
            signed_headers: Vec::new(),
            event_type: "blob".to_owned(),
            subject: None,
            request: None,
            source_version: None,
            quarantine: None,
        }),
    );
    let workflow_id = WorkflowId::derive(&["w"]);
    let mut step = recorded(
        "workflow",
        1,
        WorkflowEvent::StepCompensated(StepCompensated {
            workflow_id,
            step: "nul\0".to_owned(),
        }),
    );
    step.meta.causation = Some(accepted.meta.id);
    step.meta.traceparent =
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let mut done = recorded(
        "workflow",
        2,
        WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id }),
    );
    done.meta.causation = Some(step.meta.id);

    let records = vec![
        mesh.record::<Workflows>(&step),
        mesh.record::<Workflows>(&done),
        mesh.record::<Deliveries>(&accepted),
    ];
    let repeats = vec![
        mesh.record::<Workflows>(&again(&done)),
        mesh.record::<Deliveries>(&again(&accepted)),
        mesh.record::<Workflows>(&again(&step)),
    ];
    mesh.laws(AuditProjection::new, records, repeats).await;

    let all = by_correlation(&mesh.pool, correlation()).await.unwrap();
    let names: Vec<_> = all.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(
        names,
        ["DeliveryAccepted", "StepCompensated", "WorkflowSucceeded"]
    );
    assert_eq!(all[0].body["body_encoding"], "base64");
    assert_eq!(all[0].topic, "mesh.deliveries");
    assert_eq!(all[1].traceparent, step.meta.traceparent);
    assert_eq!(all[1].causation, Some(accepted.meta.id));
    assert_eq!(all[1].body["step"], "nul\0");
    assert_eq!((all[1].offset, all[2].offset), (0, 1));
    assert_eq!(all[1].value_sha256.len(), 64);
    assert_eq!(all[1].at, step.meta.at, "the first one stands");
    let one = by_id(&mesh.pool, done.meta.id).await.unwrap();
    assert_eq!(one.as_ref(), Some(&all[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("audit_many").await;
    let records = (0..MANY)
        .map(|n| {
            let name = n.to_string();
            let workflow_id = WorkflowId::derive(&[&name]);
            let event = WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id });
            let mut event = recorded(&name, 1, event);
            event.meta.causation = (n % 2 == 0).then_some(event.meta.id);
            mesh.record::<Workflows>(&event)
        })
        .collect();
    mesh.few_or_many_give_the_same_rows(AuditProjection::new, records)
        .await;
}
