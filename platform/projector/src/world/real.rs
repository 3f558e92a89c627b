use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use domain_kernel::Timestamp;
use platform_config::{DeadLetters, Kafka};
use platform_log::{Admin, Error, GroupConsumer, GroupOptions, PartitionReader, Producer};
use platform_postgres::{Checkpoints, Migration};
use uuid::Uuid;

use super::{Clock, Log, PgStore, World};
use crate::{Deps, ReadinessSink};

/// Kafka, Postgres and the wall clock.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    clock: WallClock,
    log: KafkaLog,
    store: PgStore,
    readiness: ReadinessSink,
    dead_letters: DeadLetters,
}

impl Real {
    pub(crate) fn new(
        deps: &Deps,
        checkpoints: Checkpoints,
        migrations: Vec<Migration>,
    ) -> Result<Self, Error> {
        Ok(Self {
            clock: WallClock,
            log: KafkaLog {
                kafka: Arc::new(deps.settings.kafka.clone()),
                admin: Admin::new(&deps.settings.kafka)?,
                producer: deps.producer.clone(),
            },
            store: PgStore::new(deps.pool.clone(), checkpoints, migrations),
            readiness: deps.readiness.clone(),
            dead_letters: deps.settings.dead_letters.clone(),
        })
    }

    /// The same, as another run, with its own name among the owners.
    pub(crate) fn owned_by(mut self, checkpoints: Checkpoints) -> Self {
        self.store.checkpoints = checkpoints;
        self
    }

    /// The same, reporting to another sink.
    pub(crate) fn reporting_to(mut self, readiness: ReadinessSink) -> Self {
        self.readiness = readiness;
        self
    }
}

impl World for Real {
    type Clock = WallClock;
    type Log = KafkaLog;
    type Store = PgStore;

    fn clock(&self) -> &WallClock {
        &self.clock
    }

    fn log(&self) -> &KafkaLog {
        &self.log
    }

    fn store(&self) -> &PgStore {
        &self.store
    }

    fn readiness(&self) -> &ReadinessSink {
        &self.readiness
    }

    fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }
}

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        platform_telemetry::now()
    }

    fn ticks(&self) -> Duration {
        STARTED.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    fn spread(&self) -> f64 {
        let [byte, ..] = Uuid::new_v4().into_bytes();
        f64::from(byte) / 255.0
    }
}

#[derive(Debug, Clone)]
pub(crate) struct KafkaLog {
    kafka: Arc<Kafka>,
    admin: Admin,
    producer: Producer,
}

impl Log for KafkaLog {
    type Producer = Producer;
    type Member = GroupConsumer;
    type Reader = PartitionReader;

    fn producer(&self) -> &Producer {
        &self.producer
    }

    fn join(&self, group: &str, topics: &[&'static str]) -> Result<GroupConsumer, Error> {
        let options = GroupOptions {
            group_instance_id: self.kafka.instance_id.clone(),
        };
        GroupConsumer::new(&self.kafka, group, topics, options)
    }

    fn read(&self, topic: &str, from: Vec<(i32, i64)>) -> Result<PartitionReader, Error> {
        PartitionReader::open(&self.kafka, topic, from)
    }

    async fn partition_count(&self, topic: &str) -> Result<u32, Error> {
        self.admin.partition_count(topic).await
    }

    async fn high_watermarks(&self, topic: &str) -> Result<Vec<(i32, i64)>, Error> {
        self.admin.high_watermarks(topic).await
    }
}
