#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_context::{ContextEvent, ContextMerged, ContextShared, Neighbour};
use domain_kernel::{ContextId, CorrelationId, EventId, Json, Recorded, Space, TenantId};
use projections_contexts::{ContextsProjection, by_correlation, by_id, history, merges};
use schemas::Contexts;
use testing::{MANY, Mesh, again, correlation, recorded};

fn id(name: &str) -> ContextId {
    ContextId::derive(&[name])
}

fn of(name: &str, mut recorded: Recorded<ContextEvent>) -> Recorded<ContextEvent> {
    recorded.meta.correlation = CorrelationId::of_delivery("zapier", name);
    recorded
}

fn shared(name: &str, subject: &str) -> Recorded<ContextEvent> {
    let event = ContextEvent::Shared(ContextShared {
        context_id: id(name),
        space: Space::new("support"),
        kind: "support.ticket.created".to_owned(),
        subject: subject.to_owned(),
        delivery: EventId::derive(&["delivery", name]),
        source_id: "zapier".to_owned(),
        content: Json::from_text(format!(r#"{{"name":"{name}"}}"#)),
        content_sha256: "00".to_owned(),
        text: name.to_owned(),
        model_digest: "sha256:m".to_owned(),
        neighbour: Some(Neighbour {
            context_id: id("neighbour"),
            cosine: 0.25,
            kept_apart: "below-threshold".to_owned(),
        }),
        subscribers: vec!["tickets".to_owned()],
    });
    of(name, recorded(name, 1, event))
}

fn merged(name: &str, version: u64) -> Recorded<ContextEvent> {
    let event = ContextEvent::Merged(ContextMerged {
        context_id: id("first"),
        space: Space::new("support"),
        kind: "support.ticket.created".to_owned(),
        subject: "ada".to_owned(),
        delivery: EventId::derive(&["delivery", name]),
        source_id: "zapier".to_owned(),
        content: Json::from_text("{}"),
        content_sha256: "00".to_owned(),
        model_digest: "sha256:m".to_owned(),
        cosine: 0.99,
        exact: false,
    });
    of(name, recorded("first", version, event))
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_merges_and_history() {
    let mesh = Mesh::new("contexts").await;
    let long = "x".repeat(20_000);
    let events = [
        shared("first", "ada"),
        shared("other subject", "grace"),
        merged("again", 2),
        shared("second", "ada"),
        shared("long subject", &long),
    ];
    let records = events.iter().map(|event| mesh.record::<Contexts>(event));
    let records = records.collect();
    // A superseded owner merged something else at the same place.
    let zombie = merged("zombie", 2);
    let repeats = events
        .iter()
        .rev()
        .map(again)
        .chain([zombie])
        .map(|event| mesh.record::<Contexts>(&event))
        .collect();
    mesh.laws(ContextsProjection::new, records, repeats).await;

    let acme = TenantId::new("acme");
    let support = Space::new("support");
    let ada = history(&mesh.pool, &acme, &support, "ada", 10)
        .await
        .unwrap();
    let ids: Vec<_> = ada.iter().map(|entry| entry.context_id).collect();
    assert_eq!(ids, [id("second"), id("first")], "newest first");
    assert_eq!((ada[0].merged, ada[1].merged), (0, 1));
    assert_eq!(ada[1].content.as_str(), r#"{"name":"first"}"#);
    let one = history(&mesh.pool, &acme, &support, "ada", 1)
        .await
        .unwrap();
    assert_eq!(one, ada[..1]);
    for (tenant, space, subject) in [("other", "support", "ada"), ("acme", "other", "ada")] {
        let (tenant, space) = (TenantId::new(tenant), Space::new(space));
        let none = history(&mesh.pool, &tenant, &space, subject, 10).await;
        assert_eq!(none.unwrap(), [], "compartments do not leak");
    }
    let long = history(&mesh.pool, &acme, &support, &long, 10).await;
    assert_eq!(long.unwrap().len(), 1);

    let first = CorrelationId::of_delivery("zapier", "first");
    let found = by_correlation(&mesh.pool, first).await.unwrap().unwrap();
    let context = found.context.unwrap();
    assert_eq!((context.context_id, found.merge), (id("first"), None));
    assert_eq!(context.subscribers, ["tickets"]);
    assert_eq!(context.neighbour.as_ref().unwrap().cosine, 0.25);
    assert_eq!(by_id(&mesh.pool, id("first")).await.unwrap(), Some(context));

    let merge = CorrelationId::of_delivery("zapier", "again");
    let found = by_correlation(&mesh.pool, merge).await.unwrap().unwrap();
    assert_eq!(found.context.unwrap().context_id, id("first"));
    assert_eq!(found.merge.unwrap().cosine, 0.99);
    let merges = merges(&mesh.pool, id("first")).await.unwrap();
    assert_eq!(merges.len(), 1);
    assert_eq!(merges[0].correlation, merge);
    assert_eq!(
        by_correlation(&mesh.pool, correlation()).await.unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("contexts_many").await;
    let records = (0..MANY)
        .flat_map(|n| {
            let mut one = shared(&n.to_string(), "ada");
            if let ContextEvent::Shared(event) = &mut one.event
                && n % 2 == 0
            {
                event.neighbour = None;
            }
            [one, merged(&n.to_string(), n as u64 + 2)]
        })
        .map(|event| mesh.record::<Contexts>(&event))
        .collect();
    mesh.few_or_many_give_the_same_rows(ContextsProjection::new, records)
        .await;
}
