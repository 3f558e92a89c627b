#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../projections/testing.rs"]
mod testing;

use domain_context::{ContextEvent, ContextShared};
use domain_delivery::{DeliveryEvent, DeliveryRefused, RefusalReason};
use domain_kernel::{ContextId, EventId, Json, Space, Timestamp, WorkflowId};
use domain_workflow::{WorkflowEvent, WorkflowSucceeded};
use platform_log::Outgoing;
use platform_projector::StoreProjection;
use platform_redis::Redis;
use projections_context_cache::ContextCacheProjection;
use schemas::{Contexts, Deliveries, Workflows};
use services_replay::{ReadModel, Replay};
use testing::{Mesh, recorded};

/// Just now: the cache forgets what is older than a day.
fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn records(mesh: &Mesh) -> Vec<Outgoing> {
    let refused = DeliveryEvent::Refused(DeliveryRefused {
        source_id: "zapier".to_owned(),
        space: Space::new("support"),
        reason: RefusalReason::StaleTimestamp,
        detail: "old".to_owned(),
        body_sha256: "00".to_owned(),
        body_size: 1,
    });
    let context_id = ContextId::derive(&["c"]);
    let shared = ContextEvent::Shared(ContextShared {
        context_id,
        space: Space::new("support"),
        kind: "support.ticket.created".to_owned(),
        subject: "ada".to_owned(),
        delivery: EventId::derive(&["d"]),
        source_id: "zapier".to_owned(),
        content: Json::from_text(r#"{"subject":"charged twice"}"#),
        content_sha256: "00".to_owned(),
        text: "charged twice for the same order".to_owned(),
        model_digest: "sha256:m".to_owned(),
        neighbour: None,
        subscribers: Vec::new(),
    });
    let mut shared = recorded(&context_id.to_string(), 1, shared);
    shared.meta.at = now();
    let workflow_id = WorkflowId::derive(&["w"]);
    let succeeded = WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id });
    vec![
        mesh.record::<Deliveries>(&recorded("d", 1, refused)),
        mesh.record::<Contexts>(&shared),
        mesh.record::<Workflows>(&recorded("w", 1, succeeded)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_comes_back_with_the_same_digests() {
    let mesh = Mesh::new("replay").await;
    mesh.append(records(&mesh)).await;
    let replay = Replay::new(mesh.settings()).await.unwrap();
    let mut told = 0;
    let built = replay.rebuild_all(|_| told += 1).await.unwrap();
    assert_eq!(told, ReadModel::ALL.len());
    let before = replay.digest_all().await.unwrap();
    let nothing = "0".repeat(64);
    for (rebuilt, digested) in built.iter().zip(&before) {
        assert_eq!(rebuilt.digest, digested.digest, "{}", rebuilt.read_model);
        let expected = match rebuilt.read_model {
            ReadModel::Decisions
            | ReadModel::Executions
            | ReadModel::Effects
            | ReadModel::Agents => (0, true),
            ReadModel::Audit => (3, false),
            _ => (1, false),
        };
        let found = (rebuilt.records, rebuilt.digest == nothing);
        assert_eq!(found, expected, "{}", rebuilt.read_model);
    }

    // Everything that was built is lost.
    let client = mesh.pool.get().await.unwrap();
    for which in ReadModel::ALL {
        let schema = platform_postgres::schema_name(which.name());
        let drop = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
        client.batch_execute(&drop).await.unwrap();
    }
    drop(client);
    let redis = Redis::connect(&mesh.settings().redis).await.unwrap();
    let cache = ContextCacheProjection::new(redis, mesh.registry.clone());
    cache.clear().await.unwrap();
    std::fs::remove_dir_all(mesh.settings().data_dir.join("vectors")).unwrap();
    assert!(replay.digest(ReadModel::Audit).await.is_err());

    // Another process, so that nothing is remembered either.
    let replay = Replay::new(mesh.settings()).await.unwrap();
    replay.rebuild_all(|_| ()).await.unwrap();
    assert_eq!(replay.digest_all().await.unwrap(), before);
}
