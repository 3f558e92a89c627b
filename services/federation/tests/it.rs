//! Federation on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::{ADA, CHARGED, CHARGED_AGAIN, KIND, Mesh, PATIENCE, ticket};
use domain_context::{ContextEvent, ContextMerged, ContextShared, NotificationEvent};
use domain_kernel::CorrelationId;
use platform_embed::HashedNgrams;
use platform_projector::{RebuildOptions, StoreProjection as _, rebuild_store, store_digest};
use platform_testkit::eventually;
use projections_context_cache::ContextCacheProjection;
use projections_context_vectors::ContextVectors;
use schemas::{Contexts, Notifications};
use serde_json::Value;

async fn shared(mesh: &Mesh, correlation: CorrelationId) -> ContextShared {
    match mesh.placed(correlation).await {
        ContextEvent::Shared(shared) => shared,
        ContextEvent::Merged(merged) => panic!("merged: {merged:?}"),
    }
}

async fn merged(mesh: &Mesh, correlation: CorrelationId) -> ContextMerged {
    match mesh.placed(correlation).await {
        ContextEvent::Merged(merged) => merged,
        ContextEvent::Shared(shared) => panic!("shared: {shared:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_the_same_is_merged_and_what_does_not_is_not() {
    let mesh = Mesh::new("federation_merges").await;
    // All at once, so that they are decided in one batch as well.
    let first = mesh.deliver("1", &ticket("T-1", CHARGED, 129.9)).await;
    let near = mesh
        .deliver("2", &ticket("T-2", CHARGED_AGAIN, 129.9))
        .await;
    let exact = mesh.deliver("3", &ticket("T-1", CHARGED, 129.9)).await;
    let other_text = CHARGED.replace("129.90", "12.90");
    let other_amount = mesh.deliver("4", &ticket("T-4", &other_text, 12.9)).await;
    let other_figure = mesh.deliver("5", &ticket("T-5", CHARGED, 12.9)).await;
    let near_again = mesh
        .deliver("6", &ticket("T-2", CHARGED_AGAIN, 129.9))
        .await;
    let body = ticket("T-1", CHARGED, 129.9).to_string();
    let other_tenant = mesh.deliver_as("globex", "7", body.as_bytes()).await;
    mesh.deliver_as("acme", "8", b"{\"cut off").await;
    // A delivery that comes twice.
    mesh.deliver("2", &ticket("T-2", CHARGED_AGAIN, 129.9))
        .await;
    let last = mesh
        .deliver("9", &ticket("T-9", "Something else.", 1.0))
        .await;

    let role = mesh.start();
    let original = shared(&mesh, first).await;
    assert_eq!(original.subscribers, ["subscription/tickets"]);
    assert_eq!(
        (original.kind.as_str(), original.subject.as_str()),
        (KIND, ADA)
    );

    let near = merged(&mesh, near).await;
    assert_eq!((near.context_id, near.exact), (original.context_id, false));
    assert!(near.cosine > 0.95 && near.cosine < 1.0, "{}", near.cosine);
    let exact = merged(&mesh, exact).await;
    assert_eq!((exact.context_id, exact.exact), (original.context_id, true));
    // The words were looked at once; after that the digest is enough.
    let again = merged(&mesh, near_again).await;
    assert_eq!((again.context_id, again.exact), (original.context_id, true));

    for correlation in [other_amount, other_figure] {
        let other = shared(&mesh, correlation).await;
        let neighbour = other.neighbour.expect("a neighbour was considered");
        assert_eq!(neighbour.kept_apart, "numbers-differ");
        assert!(neighbour.cosine > 0.95, "{neighbour:?}");
    }
    assert_ne!(
        shared(&mesh, other_tenant).await.context_id,
        original.context_id
    );
    shared(&mesh, last).await;

    // Every shared context is announced to who subscribed, and no merge is. The
    // other tenant has no subscriber.
    let told = eventually(PATIENCE, || async {
        let told = mesh.read::<Notifications>().await;
        (told.len() >= 4).then_some(told)
    })
    .await
    .unwrap();
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|recorded| {
        let NotificationEvent::Notified(notified) = &recorded.event;
        notified.subscriber == "subscription/tickets" && recorded.meta.tenant.as_str() == "acme"
    }));
    role.stop().await;

    // What cannot be read is put aside, and the repeat has added nothing.
    assert_eq!(mesh.records("mesh.dead-letters").await.len(), 1);
    assert_eq!(mesh.read::<Contexts>().await.len(), 8);
}

/// Waits until the files hold all that is on the log: they are written some
/// seconds after what they hold.
async fn written(mesh: &Mesh, vectors: &ContextVectors) {
    let partitions = mesh.bed.settings.kafka.partitions as i32;
    eventually(PATIENCE, || async {
        let mut at = 0;
        for partition in 0..partitions {
            let positions = vectors.positions(partition).await.unwrap();
            at += positions.iter().map(|(_, offset)| *offset).sum::<i64>();
        }
        at == mesh.read::<Contexts>().await.len() as i64
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_known_after_a_restart_and_without_the_file() {
    let mesh = Mesh::new("federation_restarts").await;
    let vectors = || {
        ContextVectors::new(
            &mesh.bed.settings,
            mesh.registry.clone(),
            Arc::new(HashedNgrams::default()),
        )
    };
    let files = || -> Vec<_> {
        std::fs::read_dir(mesh.bed.settings.data_dir.join("vectors"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect()
    };
    let role = mesh.start();
    let first = mesh.deliver("1", &ticket("T-1", CHARGED, 129.9)).await;
    let original = shared(&mesh, first).await;
    written(&mesh, &vectors()).await;
    role.stop().await;

    // With its file.
    let role = mesh.start();
    let second = mesh
        .deliver("2", &ticket("T-2", CHARGED_AGAIN, 129.9))
        .await;
    assert_eq!(merged(&mesh, second).await.context_id, original.context_id);
    role.stop().await;

    // With half of it.
    for file in files() {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
    let text = CHARGED_AGAIN.replace("Please", "Please kindly");
    let role = mesh.start();
    let third = mesh.deliver("3", &ticket("T-3", &text, 129.9)).await;
    assert_eq!(merged(&mesh, third).await.context_id, original.context_id);
    written(&mesh, &vectors()).await;
    role.stop().await;
    let before = store_digest(&vectors()).await.unwrap();

    // Without any, built again by whoever replays.
    for file in files() {
        std::fs::remove_file(file).unwrap();
    }
    assert_ne!(store_digest(&vectors()).await.unwrap(), before);
    rebuild_store(&vectors(), &mesh.deps, &RebuildOptions::default())
        .await
        .unwrap();
    assert_eq!(store_digest(&vectors()).await.unwrap(), before);

    // And written again by the role, though nothing comes that would ask it.
    for file in files() {
        std::fs::remove_file(file).unwrap();
    }
    let role = mesh.start();
    let written = eventually(PATIENCE, || async {
        store_digest(&vectors()).await.unwrap() == before
    });
    written.await.unwrap();
    role.stop().await;

    // And while the role holds them in memory: it takes the new ones in and goes on.
    let role = mesh.start();
    let fourth = mesh.deliver("4", &ticket("T-4", &text, 129.9)).await;
    assert_eq!(merged(&mesh, fourth).await.context_id, original.context_id);
    rebuild_store(&vectors(), &mesh.deps, &RebuildOptions::default())
        .await
        .unwrap();
    let fifth = mesh.deliver("5", &ticket("T-5", &text, 129.9)).await;
    assert_eq!(merged(&mesh, fifth).await.context_id, original.context_id);
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_right_with_and_without_redis() {
    let mesh = Mesh::new("federation_answers").await;
    let role = mesh.start();
    let models = mesh.start_read_models();
    let first = mesh.deliver("1", &ticket("T-1", CHARGED, 129.9)).await;
    let second = mesh
        .deliver("2", &ticket("T-2", CHARGED_AGAIN, 129.9))
        .await;
    let third = mesh
        .deliver("3", &ticket("T-3", "The invoice for May is missing.", 0.0))
        .await;
    let original = shared(&mesh, first).await.context_id.to_string();
    let newest = shared(&mesh, third).await.context_id.to_string();

    let one = |correlation: CorrelationId| format!("/v1/contexts/{correlation}");
    let history = format!("/v1/contexts?tenant=acme&space=support&subject={ADA}&limit=5");
    let check = || async {
        let answer = mesh.asked(&one(second), |_| true).await;
        assert_eq!(answer["outcome"], "merged");
        assert_eq!(answer["context_id"], original.as_str());
        assert!(answer["cosine"].as_f64().unwrap() > 0.95);
        // The context that survives is shown, not what was merged into it.
        assert_eq!(answer["context"]["content"]["ticket_id"], "T-1");
        assert_eq!(answer["context"]["_untrusted"], true);
        let answer = mesh.asked(&one(first), |_| true).await;
        assert_eq!(answer["outcome"], "shared");
        let by_id = mesh
            .asked(&format!("/v1/contexts/{newest}"), |_| true)
            .await;
        assert_eq!(by_id["context"]["content"]["ticket_id"], "T-3");

        let whole = |body: &Value| {
            body["contexts"]
                .as_array()
                .is_some_and(|all| all.len() == 2)
        };
        let answer = mesh.asked(&history, whole).await;
        assert_eq!(answer["contexts"][0]["context_id"], original.as_str());
        assert_eq!(answer["contexts"][1]["context_id"], newest.as_str());
        assert_eq!(answer["contexts"][1]["_untrusted"], true);
        assert_eq!(answer["contexts"][1]["kind"], KIND);
        let limited = mesh.asked(&history.replace("=5", "=1"), |_| true).await;
        assert_eq!(limited["contexts"].as_array().unwrap().len(), 1);
        assert_eq!(limited["contexts"][0]["context_id"], newest.as_str());
    };
    check().await;

    // All of it is in Redis: a key a context, two more for each delivery's way there.
    let cache = || ContextCacheProjection::new(mesh.redis.clone(), mesh.registry.clone());
    let kept = eventually(PATIENCE, || async {
        let keys = mesh.redis.scan("").await.unwrap();
        let context_keys = keys
            .iter()
            .filter(|key| key.starts_with("context:"))
            .count();
        let links = keys
            .iter()
            .filter(|key| key.starts_with("correlation:"))
            .count();
        ((context_keys, links) == (2, 3)).then_some(keys)
    })
    .await
    .unwrap();
    let digest = store_digest(&cache()).await.unwrap();

    // Emptied: the answers stay, and the cache fills itself again from the log.
    mesh.redis.delete(&kept).await.unwrap();
    check().await;
    eventually(PATIENCE, || async {
        store_digest(&cache()).await.unwrap() == digest
    })
    .await
    .unwrap();
    check().await;

    let (status, problem) = mesh.get("/v1/contexts/nothing").await;
    assert_eq!((status, problem["status"].as_u64()), (400, Some(400)));
    let unknown = CorrelationId::of_delivery("zapier", "never");
    assert_eq!(mesh.get(&one(unknown)).await.0, 404);
    assert_eq!(mesh.get("/v1/contexts?tenant=acme").await.0, 400);
    assert_eq!(mesh.get(&history.replace("=5", "=0")).await.0, 400);
    let (status, other) = mesh.get(&history.replace("acme", "globex")).await;
    assert_eq!(status, 200);
    assert_eq!(other["contexts"], serde_json::json!([]));
    models.stop().await;
    role.stop().await;
}
