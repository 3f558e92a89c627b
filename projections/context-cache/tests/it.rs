//! The cache on a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use domain_kernel::{ContextId, CorrelationId, EventId, Space, TenantId, Timestamp};
use platform_log::SchemaRegistry;
use platform_projector::{StoreProjection, store_digest};
use platform_redis::Redis;
use platform_testkit::TestBed;
use projections_context_cache::{
    CachedContext, Change, ContextCache, ContextCacheProjection, Link,
};
use serde_json::json;

const TOPIC: &str = "mesh.contexts";

fn change(name: &str, order: i64, at: Timestamp) -> Change {
    let context_id = ContextId::derive(&[name]);
    Change::Share {
        context: Box::new(CachedContext {
            context_id,
            tenant: TenantId::new("acme"),
            space: Space::new("support"),
            kind: "ticket".to_owned(),
            subject: "ada".to_owned(),
            source_id: "zapier".to_owned(),
            delivery: EventId::derive(&[name]),
            correlation_id: CorrelationId::derive(&[name]),
            at,
            content: json!({"name": name}),
            content_sha256: "00".to_owned(),
        }),
        link: Link {
            context_id,
            cosine: None,
            exact: false,
        },
        order,
    }
}

fn upto(offset: i64) -> [(String, i64); 1] {
    [(TOPIC.to_owned(), offset)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_its_offset_are_one_and_a_flush_is_noticed() {
    let bed = TestBed::new("context_cache").await.unwrap();
    let redis = Redis::connect(&bed.settings.redis).await.unwrap();
    let registry = SchemaRegistry::new(&bed.settings.schema_registry).unwrap();
    let projection = ContextCacheProjection::new(redis.clone(), registry);
    let cache = ContextCache::new(redis.clone());
    let (tenant, space) = (TenantId::new("acme"), Space::new("support"));
    let recent = |limit| {
        let (cache, tenant, space) = (&cache, &tenant, &space);
        async move { cache.recent(tenant, space, "ada", limit).await.unwrap() }
    };

    let at = platform_telemetry::now();
    assert_eq!(projection.claim(0, 1).await.unwrap(), upto(0));
    let batch = || vec![change("a", 4, at), change("b", 5, at), change("c", 7, at)];
    projection.apply(0, batch(), &upto(8), 1).await.unwrap();
    assert_eq!(projection.positions(0).await.unwrap(), upto(8));
    let digest = store_digest(&projection).await.unwrap();

    // Again, and in another order: nothing changes.
    let mut again = batch();
    again.reverse();
    projection.apply(0, again, &upto(8), 1).await.unwrap();
    assert_eq!(store_digest(&projection).await.unwrap(), digest);
    let names = |contexts: &[CachedContext]| -> String {
        contexts
            .iter()
            .filter_map(|context| context.content["name"].as_str())
            .collect()
    };
    let two = recent(2).await;
    assert_eq!((names(&two.contexts).as_str(), two.enough), ("bc", true));
    let all = recent(9).await;
    assert_eq!((names(&all.contexts).as_str(), all.enough), ("abc", false));

    // What has expired ends the list: nothing older is shown over a gap.
    let expired = format!("context:{}", ContextId::derive(&["b"]));
    redis.delete(&[expired]).await.unwrap();
    assert_eq!(names(&recent(9).await.contexts), "c");

    // An owner from before cannot write, even before the new one has.
    assert_eq!(projection.claim(0, 3).await.unwrap(), upto(8));
    assert!(projection.claim(0, 2).await.unwrap_err().is_transient());
    let stale = projection
        .apply(0, vec![change("z", 9, at)], &upto(10), 2)
        .await;
    assert!(stale.unwrap_err().is_transient());
    projection.apply(0, Vec::new(), &upto(9), 3).await.unwrap();
    assert_eq!(projection.positions(0).await.unwrap(), upto(9));

    // After a flush nothing is written on top of nothing.
    let keys = redis.scan("").await.unwrap();
    redis.delete(&keys).await.unwrap();
    let flushed = projection
        .apply(0, vec![change("d", 9, at)], &upto(10), 3)
        .await;
    assert!(flushed.unwrap_err().is_transient());
    assert_eq!(redis.scan("context:").await.unwrap(), Vec::<String>::new());
    assert_eq!(projection.positions(0).await.unwrap(), upto(0));
    let looked_at = projection.apply(0, batch(), &upto(10), 3).await;
    assert!(looked_at.unwrap_err().is_transient());

    // Who owned it before the flush does not write into what another fills now,
    // and who owns it now not into what an older owner claimed after the flush.
    assert_eq!(projection.claim(0, 2).await.unwrap(), upto(0));
    let newer = projection.apply(0, batch(), &upto(10), 3).await;
    assert!(newer.unwrap_err().is_transient());
    assert_eq!(projection.claim(0, 4).await.unwrap(), upto(0));
    let older = projection.apply(0, batch(), &upto(10), 3).await;
    assert!(older.unwrap_err().is_transient());
    assert_eq!(projection.positions(0).await.unwrap(), upto(0));
    projection.apply(0, batch(), &upto(8), 4).await.unwrap();
    assert_eq!(store_digest(&projection).await.unwrap(), digest);
    projection.clear().await.unwrap();
    assert_eq!(redis.scan("").await.unwrap(), Vec::<String>::new());
}
