//! What the tests of every read model in Postgres need: a log with its topics and
//! schemas, a live runner, and the laws that hold for all of them. Included by
//! their `tests/it.rs`, and by those of the services that run and rebuild them.
#![allow(dead_code, reason = "each test uses its part")]

use std::{sync::Arc, time::Duration};

use domain_kernel::{
    Actor, Codec, CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp,
};
use platform_config::Settings;
use platform_log::{Admin, Encoder, Outgoing, Producer, SchemaRegistry, TopicSpec, subject};
use platform_postgres::{Checkpoints, Pool, WORTH_COPYING, drop_schema, schema_name};
use platform_projector::{
    Checked, DEAD_LETTERS, Deps, Part, PgProjection, ReadinessSink, RebuildOptions, digest,
    digest_of, migrate_projection, rebuild_projection, run_projection,
};
use platform_testkit::{TestBed, eventually};
use schemas::{KeyKind, TOPICS, catalogue};
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A log of its own, and Postgres.
pub(crate) struct Mesh {
    pub(crate) registry: SchemaRegistry,
    pub(crate) pool: Pool,
    admin: Admin,
    encoder: Encoder,
    deps: Deps,
    _bed: TestBed,
}

impl Mesh {
    pub(crate) async fn new(name: &str) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let settings = bed.settings.clone();
        let admin = Admin::new(&settings.kafka).unwrap();
        let topics: Vec<_> = TOPICS
            .iter()
            .map(|(topic, key)| match key {
                KeyKind::Single => TopicSpec::new(*topic, 1),
                _ => TopicSpec::new(*topic, settings.kafka.partitions),
            })
            .collect();
        admin.ensure_topics(&topics).await.unwrap();
        let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
        for entry in catalogue() {
            registry
                .register(&subject(entry.topic, entry.name), entry.text)
                .await
                .unwrap();
        }
        let entries = catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        let encoder = Encoder::resolve(&registry, entries).await.unwrap();
        let pool = Pool::connect(&settings.postgres).unwrap();
        let deps = Deps {
            producer: Producer::new(&settings.kafka).unwrap(),
            settings: Arc::new(settings),
            pool: pool.clone(),
            readiness: ReadinessSink::none(),
        };
        Self {
            registry,
            pool,
            admin,
            encoder,
            deps,
            _bed: bed,
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.deps.settings)
    }

    pub(crate) fn record<C: Codec>(&self, recorded: &Recorded<C::Event>) -> Outgoing {
        self.encoder.encode::<C>(recorded).unwrap()
    }

    pub(crate) async fn append(&self, records: Vec<Outgoing>) {
        self.deps.producer.append_all(records).await.unwrap();
    }

    /// Waits until the checkpoints stand at the ends of the topics, those of
    /// empty partitions and of the dead letters too: a digest names every
    /// partition the runner holds, and each topic is joined in its own time.
    async fn caught_up<P: PgProjection>(&self, projection: &P) {
        let schema = schema_name(P::NAME);
        let mut ends = Vec::new();
        for topic in projection.topics().into_iter().chain([DEAD_LETTERS]) {
            for (partition, end) in self.admin.high_watermarks(topic).await.unwrap() {
                ends.push((topic.to_owned(), partition, end));
            }
        }
        eventually(PATIENCE, || async {
            let Ok(at) = Checkpoints::positions(&self.pool, &schema).await else {
                return false;
            };
            ends.iter().all(|(topic, partition, end)| {
                at.iter().any(|claim| {
                    claim.topic == *topic
                        && claim.partition == *partition
                        && claim.next_offset >= *end
                })
            })
        })
        .await
        .unwrap();
    }

    /// Appends `records`, lets a live runner read them, and checks that appending
    /// `again` (the same events, recorded at another time) changes nothing, and
    /// that a rebuild restores the same rows, each in the same partition. Returns
    /// while the rows are there.
    pub(crate) async fn laws<P: PgProjection>(
        &self,
        make: impl Fn(SchemaRegistry) -> P,
        records: Vec<Outgoing>,
        again: Vec<Outgoing>,
    ) {
        let projection = make(self.registry.clone());
        let shutdown = CancellationToken::new();
        let runner = tokio::spawn(run_projection(
            make(self.registry.clone()),
            self.deps.clone(),
            shutdown.clone(),
        ));
        self.append(records).await;
        self.caught_up(&projection).await;
        let first = digest(&projection, &self.pool).await.unwrap();
        assert_ne!(first.to_string(), "0".repeat(64), "there are rows");

        self.append(again).await;
        self.caught_up(&projection).await;
        let repeated = digest(&projection, &self.pool).await.unwrap();
        assert_eq!(repeated, first, "a repeat changes nothing");

        let live = digest_of(&projection, &self.pool).await.unwrap();
        assert_eq!(live.whole().digest, first);
        assert_eq!(live.unplaced, Part::default(), "all rows have a partition");

        // Beside the live runner, which is fenced and goes on behind it.
        let rebuilt = rebuild_projection(
            Arc::new(make(self.registry.clone())),
            &self.deps,
            &RebuildOptions::default(),
        )
        .await
        .unwrap();
        assert_eq!(rebuilt.checked, Checked::Same, "as the live one had it");
        let after = digest_of(&projection, &self.pool).await.unwrap();
        assert_eq!(after, live, "a rebuild restores the same rows");
        shutdown.cancel();
        runner.await.unwrap().unwrap();
    }
}

impl Mesh {
    /// Lets a live runner read `records` a few at a time, which it inserts, and
    /// then all at once, which it copies: the rows must be the same.
    pub(crate) async fn few_or_many_give_the_same_rows<P: PgProjection>(
        &self,
        make: impl Fn(SchemaRegistry) -> P,
        records: Vec<Outgoing>,
    ) {
        let projection = make(self.registry.clone());
        let shutdown = CancellationToken::new();
        let runner = tokio::spawn(run_projection(
            make(self.registry.clone()),
            self.deps.clone(),
            shutdown.clone(),
        ));
        for few in records.chunks(WORTH_COPYING - 1) {
            self.append(few.to_vec()).await;
            self.caught_up(&projection).await;
        }
        let inserted = digest(&projection, &self.pool).await.unwrap();
        shutdown.cancel();
        runner.await.unwrap().unwrap();

        let schema = schema_name(P::NAME);
        drop_schema(&self.pool, &schema).await.unwrap();
        migrate_projection(&projection, &self.pool).await.unwrap();
        let shutdown = CancellationToken::new();
        let runner = tokio::spawn(run_projection(
            make(self.registry.clone()),
            self.deps.clone(),
            shutdown.clone(),
        ));
        self.caught_up(&projection).await;
        shutdown.cancel();
        runner.await.unwrap().unwrap();
        let copied = digest(&projection, &self.pool).await.unwrap();
        assert_eq!(copied, inserted);
    }
}

/// Enough for two batches, the second one copied too.
pub(crate) const MANY: usize = 4 * WORTH_COPYING;

pub(crate) fn correlation() -> CorrelationId {
    CorrelationId::of_delivery("zapier", "msg_1")
}

/// An event of tenant `acme`, recorded at second `version`.
pub(crate) fn recorded<E>(stream: &str, version: u64, event: E) -> Recorded<E> {
    Recorded {
        meta: Metadata {
            id: EventId::derive(&[stream, &version.to_string()]),
            tenant: TenantId::new("acme"),
            correlation: correlation(),
            causation: None,
            stream: stream.to_owned(),
            version,
            at: Timestamp::from_millis(1_760_000_000_000 + 1_000 * i64::try_from(version).unwrap()),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: Some(Actor::new("source:zapier")),
        },
        event,
    }
}

/// The same event as somebody else recorded it, later.
pub(crate) fn again<E: Clone>(recorded: &Recorded<E>) -> Recorded<E> {
    let mut again = recorded.clone();
    again.meta.at = again.meta.at.plus_millis(77_777);
    again
}
