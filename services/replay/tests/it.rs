#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../projections/testing.rs"]
mod testing;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain_context::{ContextEvent, ContextShared};
use domain_delivery::{DeliveryEvent, DeliveryRefused, RefusalReason};
use domain_kernel::{ContextId, EventId, Json, Recorded, Space, TenantId, Timestamp, WorkflowId};
use domain_workflow::{WorkflowEvent, WorkflowSucceeded};
use platform_log::{Outgoing, Producer};
use platform_projector::{Deps, ReadinessSink, StoreProjection, run_store_projection};
use platform_redis::Redis;
use platform_testkit::eventually;
use projections_context_cache::{ContextCache, ContextCacheProjection};
use schemas::{Contexts, Deliveries, Workflows};
use services_replay::{
    Difference, ReadModel, RebuildOptions, Replay, Until, Verdict, compare, read_digests,
};
use testing::{Mesh, PATIENCE, recorded};
use tokio_util::sync::CancellationToken;

/// Just now: the cache forgets what is older than a day.
fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn refused() -> DeliveryEvent {
    DeliveryEvent::Refused(DeliveryRefused {
        source_id: "zapier".to_owned(),
        space: Space::new("support"),
        reason: RefusalReason::StaleTimestamp,
        detail: "old".to_owned(),
        body_sha256: "00".to_owned(),
        body_size: 1,
    })
}

fn shared(name: &str) -> Recorded<ContextEvent> {
    let context_id = ContextId::derive(&[name]);
    let shared = ContextEvent::Shared(ContextShared {
        context_id,
        space: Space::new("support"),
        kind: "support.ticket.created".to_owned(),
        subject: "ada".to_owned(),
        delivery: EventId::derive(&[name]),
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
    shared
}

fn records(mesh: &Mesh) -> Vec<Outgoing> {
    let workflow_id = WorkflowId::derive(&["w"]);
    let succeeded = WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id });
    vec![
        mesh.record::<Deliveries>(&recorded("d", 1, refused())),
        mesh.record::<Contexts>(&shared("c")),
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

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_replaced_while_it_is_read_and_written() {
    let mesh = Arc::new(Mesh::new("replay_cache").await);
    let settings = mesh.settings();
    let redis = Redis::connect(&settings.redis).await.unwrap();
    let deps = Deps {
        producer: Producer::new(&settings.kafka).unwrap(),
        pool: mesh.pool.clone(),
        readiness: ReadinessSink::none(),
        settings: Arc::clone(&settings),
    };
    let stop = CancellationToken::new();
    let cache = || ContextCacheProjection::new(redis.clone(), mesh.registry.clone());
    let runner = tokio::spawn(run_store_projection(cache(), deps, stop.clone()));
    let names: Vec<String> = (0..300).map(|number| format!("c{number}")).collect();
    let outgoing = names
        .iter()
        .map(|name| mesh.record::<Contexts>(&shared(name)));
    mesh.append(outgoing.collect()).await;
    let asked = ContextCache::new(redis.clone());
    let there = |name: &str| {
        let (asked, id) = (asked.clone(), ContextId::derive(&[name]));
        async move { asked.context(id).await.is_ok_and(|found| found.is_some()) }
    };
    eventually(PATIENCE, || there("c299")).await.unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (over, asked, mesh) = (Arc::clone(&over), asked.clone(), Arc::clone(&mesh));
        tokio::spawn(async move {
            let (tenant, space) = (TenantId::new("acme"), Space::new("support"));
            let mut written = 300;
            while !over.load(Ordering::Relaxed) {
                let id = ContextId::derive(&["c7"]);
                // A call that a loaded machine answers too late says nothing.
                if let Ok(context) = asked.context(id).await {
                    assert!(context.is_some());
                }
                if let Ok(recent) = asked.recent(&tenant, &space, "ada", 50).await {
                    assert_eq!(recent.contexts.len(), 50, "a whole list of one cache");
                }
                let more = mesh.record::<Contexts>(&shared(&format!("c{written}")));
                mesh.append(vec![more]).await;
                written += 1;
            }
            written
        })
    };
    let replay = Replay::new(Arc::clone(&settings)).await.unwrap();
    for round in 1..=2 {
        let rebuilt = replay
            .rebuild(ReadModel::ContextCache, &RebuildOptions::default())
            .await
            .unwrap();
        assert!(rebuilt.records >= 300, "{rebuilt:?}");
        let live = redis.get("context-cache:live").await.unwrap().unwrap();
        assert_eq!(live, round.to_string().into_bytes());
    }
    over.store(true, Ordering::Relaxed);
    let written = reader.await.unwrap();
    eventually(PATIENCE, || there(&format!("c{}", written - 1)))
        .await
        .unwrap();
    for number in 0..written {
        let name = format!("c{number}");
        eventually(PATIENCE, || there(&name)).await.unwrap();
    }
    // What was replaced is gone.
    for start in ["context:", "history:", "cache1:"] {
        assert_eq!(redis.scan(start).await.unwrap(), Vec::<String>::new());
    }

    // Up to an offset it is kept beside, and the live one is as it was.
    let live = replay.digest(ReadModel::ContextCache).await.unwrap();
    assert_eq!(live.partitions.len(), 1, "one tenant and space");
    let (partition, _) = live.partitions.first_key_value().unwrap();
    let until = ("mesh.contexts".to_owned(), partition.parse().unwrap(), 300);
    let options = RebuildOptions {
        until: Until::Offsets(vec![until]),
        keep_as: Some("first".to_owned()),
        ..RebuildOptions::default()
    };
    let kept = replay.rebuild(ReadModel::ContextCache, &options).await;
    assert_eq!(kept.unwrap().records, 300);
    let first = replay.digest_of_shadow(ReadModel::ContextCache, "first");
    // A context, its way there, and up to a hundred places in the list.
    assert_eq!(first.await.unwrap().rows, 300 + 1 + 100);
    assert_eq!(replay.digest(ReadModel::ContextCache).await.unwrap(), live);
    let drop = replay.drop_shadow(ReadModel::ContextCache, "first");
    drop.await.unwrap();
    assert_eq!(
        redis.scan("cache-first:").await.unwrap(),
        Vec::<String>::new()
    );
    assert!(
        replay
            .digest_of_shadow(ReadModel::ContextCache, "first")
            .await
            .is_err()
    );
    stop.cancel();
    runner.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_named_by_partition() {
    let mesh = Mesh::new("replay_compare").await;
    let of_tenant = |number: u64| {
        let mut refused = recorded(&format!("d{number}"), 1, refused());
        refused.meta.tenant = TenantId::new(format!("t{number}"));
        mesh.record::<Deliveries>(&refused)
    };
    mesh.append((0..60).map(of_tenant).collect()).await;
    let replay = Replay::new(mesh.settings()).await.unwrap();
    let options = RebuildOptions::default();
    let which = ReadModel::Deliveries;
    replay.rebuild(which, &options).await.unwrap();
    let before = replay.digest(which).await.unwrap();
    assert!(before.partitions.len() > 1, "{before:?}");
    assert_eq!(before.rows, 60);
    let written = serde_json::to_string(&before).unwrap();
    let read = read_digests(Path::new("before"), &written).unwrap();
    assert_eq!(read, std::slice::from_ref(&before));

    let (partition, part) = before.partitions.first_key_value().unwrap();
    let client = mesh.pool.get().await.unwrap();
    let delete = format!(
        "DELETE FROM deliveries.refused WHERE event_id =
         (SELECT event_id FROM deliveries.refused WHERE log_partition = {partition} LIMIT 1)"
    );
    client.batch_execute(&delete).await.unwrap();
    let damaged = replay.digest(which).await.unwrap();
    let expected = Difference {
        partition: partition.clone(),
        rows_here: part.rows,
        rows_there: part.rows - 1,
    };
    assert_eq!(
        compare(&before, &damaged),
        Verdict::Differs {
            partitions: vec![expected],
            elsewhere: Vec::new()
        }
    );
    // Another deployment's Postgres, which here is the same.
    let pool = replay
        .other_postgres(&mesh.settings().postgres.url)
        .unwrap();
    let there = replay.digest_in(which, &pool).await.unwrap().unwrap();
    assert_eq!(compare(&damaged, &there), Verdict::Same);
    assert_eq!(
        replay
            .digest_in(ReadModel::ContextCache, &pool)
            .await
            .unwrap(),
        None
    );

    // The rebuild says what was wrong, and mends it.
    let rebuilt = replay.rebuild(which, &options).await.unwrap();
    assert_eq!(
        rebuilt.checked,
        format!("the live one differed in partitions {partition}")
    );
    assert_eq!(replay.digest(which).await.unwrap(), before);

    // What stands elsewhere is not compared.
    mesh.append(vec![of_tenant(60)]).await;
    replay.rebuild(which, &options).await.unwrap();
    let later = replay.digest(which).await.unwrap();
    let Verdict::Elsewhere { partitions } = compare(&before, &later) else {
        panic!("{later:?}");
    };
    assert_eq!(partitions.len(), 1, "{partitions:?}");
}
