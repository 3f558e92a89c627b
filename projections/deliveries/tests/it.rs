#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_delivery::{
    AuthMethod, DeliveryAccepted, DeliveryEvent, DeliveryRefused, RefusalReason,
};
use domain_kernel::{CorrelationId, Space};
use projections_deliveries::{
    DeliveriesProjection, Status, accepted, accepted_of, by_correlation, refused,
};
use schemas::Deliveries;
use testing::{MANY, Mesh, again, correlation, recorded};

fn acceptance(body: &[u8]) -> DeliveryEvent {
    DeliveryEvent::Accepted(DeliveryAccepted {
        source_id: "zapier".to_owned(),
        delivery_id: "msg_1".to_owned(),
        space: Space::new("support"),
        scheme: "standard-webhooks".to_owned(),
        auth: AuthMethod::HmacSha256,
        key_id: Some("2026".to_owned()),
        content_type: "application/json".to_owned(),
        body: body.to_vec(),
        body_sha256: "00ff".to_owned(),
        signed_headers: Vec::new(),
        event_type: "support.ticket.created".to_owned(),
        subject: Some("nul\0ada".to_owned()),
        request: None,
        source_version: None,
        quarantine: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_by_correlation_and_refusals_take_no_ones_place() {
    let mesh = Mesh::new("deliveries").await;
    // A forger claims the id of a delivery that comes later.
    let forged = recorded(
        "forged",
        1,
        DeliveryEvent::Refused(DeliveryRefused {
            source_id: "zapier".to_owned(),
            space: Space::new("support"),
            reason: RefusalReason::BadSignature,
            detail: "no secret matched".to_owned(),
            body_sha256: "bad0".to_owned(),
            body_size: 3,
        }),
    );
    let real = recorded("real", 1, acceptance(b"{}"));
    // The same stream and version with another body: the first one wins.
    let mut zombie = recorded("zombie", 1, acceptance(b"{\"other\":1}"));
    zombie.meta.stream.clone_from(&real.meta.stream);

    let records = [&forged, &real].map(|event| mesh.record::<Deliveries>(event));
    let repeats = [again(&forged), again(&real), zombie];
    let repeats = repeats.iter().map(|event| mesh.record::<Deliveries>(event));
    let repeats = repeats.collect();
    mesh.laws(DeliveriesProjection::new, records.into(), repeats)
        .await;

    let found = accepted(&mesh.pool, correlation()).await.unwrap().unwrap();
    assert_eq!(found.event_id, real.meta.id);
    assert_eq!(found.recorded_at, real.meta.at);
    assert_eq!(found.body_bytes, 2);
    let Status::Accepted {
        delivery_id,
        subject,
        ..
    } = &found.status
    else {
        panic!("{found:?}");
    };
    assert_eq!(delivery_id, "msg_1");
    assert_eq!(subject.as_deref(), Some("nul\u{fffd}ada"));
    assert_eq!(
        by_correlation(&mesh.pool, correlation()).await.unwrap(),
        Some(found)
    );
    let refusals = refused(&mesh.pool, correlation()).await.unwrap();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].body_sha256, "bad0");

    let unknown = CorrelationId::of_delivery("zapier", "never");
    assert_eq!(by_correlation(&mesh.pool, unknown).await.unwrap(), None);

    // One id is asked for by another statement than several are.
    let known = vec![(correlation(), "msg_1".to_owned(), "00ff".to_owned())];
    for (ids, expected) in [
        (vec![correlation()], known.clone()),
        (vec![unknown], Vec::new()),
        (vec![unknown, correlation()], known),
        (Vec::new(), Vec::new()),
    ] {
        assert_eq!(accepted_of(&mesh.pool, &ids).await.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("deliveries_many").await;
    let records = (0..MANY)
        .map(|n| {
            let name = n.to_string();
            let mut event = recorded(&name, 1, acceptance(name.as_bytes()));
            event.meta.correlation = CorrelationId::of_delivery("zapier", &name);
            if let DeliveryEvent::Accepted(accepted) = &mut event.event
                && n % 2 == 0
            {
                accepted.subject = None;
                accepted.key_id = None;
            }
            mesh.record::<Deliveries>(&event)
        })
        .collect();
    mesh.few_or_many_give_the_same_rows(DeliveriesProjection::new, records)
        .await;
}
