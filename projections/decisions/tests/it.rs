#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../testing.rs"]
mod testing;

use domain_kernel::{DecisionId, Json};
use domain_policy::{PolicyDecided, PolicyEvent};
use projections_decisions::{DecisionsProjection, by_correlation, by_id};
use schemas::Decisions;
use testing::{MANY, Mesh, again, correlation, recorded};

fn decided(name: &str, allow: bool) -> PolicyEvent {
    PolicyEvent::Decided(PolicyDecided {
        decision_id: DecisionId::derive(&[name]),
        path: "mesh/ingest".to_owned(),
        bundle_digest: "sha256:00".to_owned(),
        // JSON that Postgres' own type would refuse.
        input: Json::from_text(r#"{"body":{"n":1e400,"s":"\u0000"}}"#),
        result: allow.then(|| Json::from_text(r#"{"allow":true}"#)),
        allow,
        reasons: vec!["because \0".to_owned()],
        engine: "regorus 0.14.1".to_owned(),
        duration_us: 12,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_kept_as_they_were_made() {
    let mesh = Mesh::new("decisions").await;
    let first = recorded("first", 1, decided("first", true));
    let second = recorded("second", 2, decided("second", false));
    let records = [&first, &second].map(|event| mesh.record::<Decisions>(event));
    let repeats = [&second, &first].map(|event| mesh.record::<Decisions>(&again(event)));
    mesh.laws(DecisionsProjection::new, records.into(), repeats.into())
        .await;

    let found = by_correlation(&mesh.pool, correlation()).await.unwrap();
    assert_eq!(found.len(), 2);
    let PolicyEvent::Decided(event) = &first.event;
    assert_eq!(found[0].decision_id, event.decision_id);
    assert_eq!(found[0].input, event.input);
    assert_eq!(found[0].reasons, event.reasons);
    assert_eq!((found[1].allow, found[1].result.clone()), (false, None));
    let one = by_id(&mesh.pool, event.decision_id).await.unwrap();
    assert_eq!(one.as_ref(), Some(&found[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn few_or_many_give_the_same_rows() {
    let mesh = Mesh::new("decisions_many").await;
    let records = (0..MANY)
        .map(|n| {
            let name = n.to_string();
            let event = recorded(&name, 1, decided(&name, n % 3 == 0));
            mesh.record::<Decisions>(&event)
        })
        .collect();
    mesh.few_or_many_give_the_same_rows(DecisionsProjection::new, records)
        .await;
}
