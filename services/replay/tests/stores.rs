//! Read models outside Postgres: a rebuild that was interrupted is gone on with,
//! and what is kept of an offset holds what the log said up to there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../projections/testing.rs"]
mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain_context::{ContextEvent, ContextMerged, ContextShared};
use domain_kernel::{
    ContextId, CorrelationId, EventId, Json, Recorded, Space, TenantId, Timestamp,
};
use platform_config::Settings;
use platform_embed::HashedNgrams;
use platform_log::{Position, Producer};
use platform_projector::{
    Content, Deps, ReadinessSink, ShadowStore, StoreProjection, run_store_projection,
};
use platform_redis::Redis;
use platform_testkit::eventually;
use projections_context_cache::{ContextCache, ContextCacheProjection};
use projections_context_vectors::ContextVectors;
use schemas::Contexts;
use services_replay::{ProgressSink, ReadModel, RebuildOptions, Replay, Stage, Until};
use testing::{Mesh, PATIENCE, recorded};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "mesh.contexts";
const KIND: &str = "support.ticket.created";
/// Of these, each of three partitions has some.
const TENANTS: [&str; 8] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];
/// More than a rebuild reads at once.
const MANY: usize = 12_000;

fn id_of(tenant: &str, number: usize) -> ContextId {
    ContextId::derive(&[tenant, &number.to_string()])
}

/// Just now, since the cache forgets what is older than a day, and of a delivery
/// of its own.
fn event(
    tenant: &str,
    stream: ContextId,
    name: &str,
    event: ContextEvent,
) -> Recorded<ContextEvent> {
    let mut recorded = recorded(&stream.to_string(), 1, event);
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    recorded.meta.at = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap());
    recorded.meta.tenant = TenantId::new(tenant);
    recorded.meta.correlation = CorrelationId::of_delivery(tenant, name);
    recorded
}

fn shared(tenant: &str, number: usize) -> Recorded<ContextEvent> {
    let (context_id, name) = (id_of(tenant, number), number.to_string());
    let shared = ContextEvent::Shared(ContextShared {
        context_id,
        space: Space::new("support"),
        kind: KIND.to_owned(),
        subject: "ada".to_owned(),
        delivery: EventId::derive(&[tenant, &name]),
        source_id: "zapier".to_owned(),
        content: Json::from_text(format!(r#"{{"amount":{number}}}"#)),
        content_sha256: format!("{number:064x}"),
        text: format!("charged twice for order {number} of {tenant}"),
        model_digest: "sha256:m".to_owned(),
        neighbour: None,
        subscribers: Vec::new(),
    });
    event(tenant, context_id, &name, shared)
}

/// Another delivery, which says what the context of that number says.
fn merged(tenant: &str, number: usize) -> Recorded<ContextEvent> {
    let (context_id, name) = (id_of(tenant, number), format!("again {number}"));
    let merged = ContextEvent::Merged(ContextMerged {
        context_id,
        space: Space::new("support"),
        kind: KIND.to_owned(),
        subject: "ada".to_owned(),
        delivery: EventId::derive(&[tenant, &name]),
        source_id: "zapier".to_owned(),
        content: Json::from_text(format!(r#"{{"amount":{number},"again":true}}"#)),
        content_sha256: format!("{:064x}", MANY + number),
        model_digest: "sha256:m".to_owned(),
        cosine: 0.99,
        exact: false,
    });
    event(tenant, context_id, &name, merged)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_whose_rebuild_was_stopped_is_gone_on_with() {
    let mesh = Mesh::new("replay_stopped").await;
    let settings = mesh.settings();
    let redis = Redis::connect(&settings.redis).await.unwrap();
    let deps = Deps {
        producer: Producer::new(&settings.kafka).unwrap(),
        pool: mesh.pool.clone(),
        readiness: ReadinessSink::none(),
        settings: Arc::clone(&settings),
    };
    let shutdown = CancellationToken::new();
    let cache = ContextCacheProjection::new(redis.clone(), mesh.registry.clone());
    let runner = tokio::spawn(run_store_projection(cache, deps, shutdown.clone()));
    let all = (0..MANY).map(|number| shared(TENANTS[number % TENANTS.len()], number));
    mesh.append(all.map(|event| mesh.record::<Contexts>(&event)).collect())
        .await;
    let asked = ContextCache::new(redis.clone());
    for number in MANY - TENANTS.len()..MANY {
        let last = id_of(TENANTS[number % TENANTS.len()], number);
        eventually(PATIENCE, || async {
            asked.context(last).await.is_ok_and(|found| found.is_some())
        })
        .await
        .unwrap();
    }
    shutdown.cancel();
    runner.await.unwrap().unwrap();

    let which = ReadModel::ContextCache;
    let replay = Replay::new(Arc::clone(&settings)).await.unwrap();
    let live = replay.digest(which).await.unwrap();
    assert!(live.partitions.len() > 1, "{live:?}");
    assert_eq!(live.offsets[TOPIC].values().sum::<i64>(), MANY as i64);

    // Told to stop as soon as it has written something.
    let stop = CancellationToken::new();
    let written = Arc::new(AtomicU64::new(0));
    let progress = {
        let (stop, written) = (stop.clone(), Arc::clone(&written));
        ProgressSink::new(move |at| {
            if at.stage == Stage::Replaying && at.done > 0 {
                written.store(at.done, Ordering::Relaxed);
                stop.cancel();
            }
        })
    };
    let stopping = RebuildOptions {
        progress,
        stop,
        ..RebuildOptions::default()
    };
    assert!(replay.rebuild(which, &stopping).await.is_err());
    let written = written.load(Ordering::Relaxed);
    assert!(written > 0 && written < MANY as u64, "{written} were read");
    let left = replay.shadows(which).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].is_next() && !left[0].whole, "{left:?}");
    let stands = left[0].offsets[TOPIC].values().sum::<i64>();
    assert_eq!(stands.unsigned_abs(), written);
    assert_eq!(replay.digest(which).await.unwrap(), live, "nobody noticed");

    // Another process, so that nothing is remembered but what Redis holds.
    let replay = Replay::new(Arc::clone(&settings)).await.unwrap();
    let to_read = Arc::new(AtomicU64::new(0));
    let progress = {
        let to_read = Arc::clone(&to_read);
        ProgressSink::new(move |at| {
            to_read.fetch_max(at.total, Ordering::Relaxed);
        })
    };
    let going_on = RebuildOptions {
        progress,
        ..RebuildOptions::default()
    };
    let rebuilt = replay.rebuild(which, &going_on).await.unwrap();
    let rest = MANY as u64 - written;
    assert_eq!((rebuilt.resumed_at, rebuilt.records), (written, rest));
    assert_eq!(to_read.load(Ordering::Relaxed), rest);
    assert_eq!(rebuilt.checked, "same");
    assert_eq!(rebuilt.digest, live.digest);
    assert_eq!(replay.digest(which).await.unwrap(), live);
    assert_eq!(replay.shadows(which).await.unwrap(), []);
    // What is read now is what was built, and what it replaced is gone.
    let live = redis.get("context-cache:live").await.unwrap();
    assert_eq!(live.as_deref(), Some(&b"1"[..]));
    assert_eq!(redis.scan("context:").await.unwrap(), Vec::<String>::new());
}

fn vectors(mesh: &Mesh, settings: &Settings) -> ContextVectors {
    let model = Arc::new(HashedNgrams::default());
    ContextVectors::new(settings, mesh.registry.clone(), model)
}

/// All that it holds, in an order that does not depend on how it came in.
async fn content(index: &ContextVectors, partitions: u32) -> Content {
    let mut content = index.content(partitions).await.unwrap();
    content.entries.sort();
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_kept_of_an_offset_holds_what_the_log_said_up_to_there() {
    let mesh = Mesh::new("replay_vectors").await;
    let settings = mesh.settings();
    let partitions = settings.kafka.partitions;
    let producer = Producer::new(&settings.kafka).unwrap();
    let mut events = Vec::new();
    for number in 0..12 {
        for tenant in TENANTS {
            events.push(shared(tenant, number));
            if number % 3 == 2 {
                events.push(merged(tenant, number - 1));
            }
        }
    }
    let outgoing = events.iter().map(|event| mesh.record::<Contexts>(event));
    let positions = producer.append_all(outgoing.collect()).await.unwrap();
    let mut log: BTreeMap<i32, Vec<(Recorded<ContextEvent>, Position)>> = BTreeMap::new();
    for (event, position) in events.into_iter().zip(positions) {
        let of_partition = log.entry(position.partition).or_default();
        assert_eq!(position.offset, of_partition.len() as i64);
        of_partition.push((event, position));
    }
    assert_eq!(log.len(), partitions as usize, "each partition has some");

    let which = ReadModel::ContextVectors;
    let replay = Replay::new(Arc::clone(&settings)).await.unwrap();
    let whole = RebuildOptions::default();
    replay.rebuild(which, &whole).await.unwrap();
    let live = replay.digest(which).await.unwrap();

    // One ends before a merge, one before its second context, one is not named
    // and so read to its end.
    let last_merge = log[&0]
        .iter()
        .rposition(|(event, _)| matches!(event.event, ContextEvent::Merged(_)));
    let ends = BTreeMap::from([(0, last_merge.unwrap()), (1, 1), (2, log[&2].len())]);
    assert!(ends[&0] > 1 && ends[&0] < log[&0].len());
    let named = [0, 1].map(|partition| (TOPIC.to_owned(), partition, ends[&partition] as i64));
    let options = RebuildOptions {
        until: Until::Offsets(named.to_vec()),
        keep_as: Some("then".to_owned()),
        ..RebuildOptions::default()
    };
    let kept = replay.rebuild(which, &options).await.unwrap();
    let records = ends.values().sum::<usize>() as u64;
    assert_eq!((kept.records, kept.kept_out), (records, None));
    let then = replay.digest_of_shadow(which, "then").await.unwrap();
    assert_eq!(then.digest, kept.digest);
    // Each record made a line: a context, or a content that was merged.
    assert_eq!(then.rows, records);
    let stands: BTreeMap<i32, i64> = ends.iter().map(|(at, end)| (*at, *end as i64)).collect();
    assert_eq!(then.offsets[TOPIC], stands);

    // The same as folding those records by hand, in a place that reads no log.
    let mut elsewhere = Settings::clone(&settings);
    elsewhere.data_dir = settings.data_dir.join("by-hand");
    let by_hand = vectors(&mesh, &elsewhere).beside("by-hand");
    for (partition, end) in &ends {
        let changes = log[partition][..*end]
            .iter()
            .flat_map(|(event, position)| by_hand.project(event, position));
        let upto = [(TOPIC.to_owned(), *end as i64)];
        let changes = changes.collect();
        by_hand.apply(*partition, changes, &upto, 1).await.unwrap();
    }
    let shadow = vectors(&mesh, &settings).beside("then");
    let held = content(&shadow, partitions).await;
    assert_eq!(held, content(&by_hand, partitions).await);
    for (partition, end) in &ends {
        for (at, (event, _)) in log[partition].iter().enumerate() {
            let ContextEvent::Shared(shared) = &event.event else {
                continue;
            };
            let id = format!(r#""context_id":"{}""#, shared.context_id);
            let known = held.entries.iter().any(|(_, line)| line.contains(&id));
            assert_eq!(known, at < *end, "{partition}@{at}");
        }
    }

    // The live one is as it was, and asked again for the same, it is there.
    assert_eq!(replay.digest(which).await.unwrap(), live);
    let again = replay.rebuild(which, &options).await.unwrap();
    assert_eq!((again.records, again.resumed_at), (0, records));
    // The live one reads on by itself; what is kept does not.
    mesh.append(vec![mesh.record::<Contexts>(&shared("t0", 12))])
        .await;
    assert_eq!(replay.digest(which).await.unwrap().rows, live.rows + 1);
    let still = replay.digest_of_shadow(which, "then").await.unwrap();
    assert_eq!(still, then);
    replay.drop_shadow(which, "then").await.unwrap();
    assert!(!settings.data_dir.join("vectors/beside-then").exists());
}
