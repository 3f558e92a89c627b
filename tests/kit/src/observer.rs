use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain_kernel::CorrelationId;
use platform_config::Settings;
use platform_log::{Admin, PartitionReader, Record};
use platform_postgres::Pool;
use platform_postgres::tokio_postgres::Row;
use platform_postgres::tokio_postgres::types::ToSql;
use platform_redis::{Redis, Script};
use platform_testkit::eventually;
use projections_audit::Entry;

/// Long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

const TTL: Script = Script::new("return redis.call('PTTL', KEYS[1])");

/// Reads what the mesh leaves behind, and changes nothing unless asked to
/// forget.
#[derive(Debug)]
pub struct Observer {
    settings: Settings,
    admin: Admin,
    pool: Pool,
    redis: Redis,
}

impl Observer {
    /// Reads what a mesh with these settings leaves behind.
    ///
    /// # Errors
    /// When a server cannot be reached.
    pub async fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            settings: settings.clone(),
            admin: Admin::new(&settings.kafka)?,
            pool: Pool::connect(&settings.postgres)?,
            redis: Redis::connect(&settings.redis).await?,
        })
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// The audit trail of one delivery, in causal order.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn trail(&self, correlation: CorrelationId) -> anyhow::Result<Vec<Entry>> {
        Ok(projections_audit::by_correlation(&self.pool, correlation).await?)
    }

    /// Waits until the audit trail holds an event of this name, and until it and
    /// every other read model hold whatever was on the log by then: topics are
    /// read side by side, so that an effect may be there before its cause.
    ///
    /// # Errors
    /// When they do not in time; says what the trail holds, or who is behind.
    pub async fn recorded(
        &self,
        correlation: CorrelationId,
        name: &str,
    ) -> anyhow::Result<Vec<Entry>> {
        let found = eventually(PATIENCE, || async {
            let trail = self.trail(correlation).await?;
            let held = names(&trail).join(", ");
            ensure!(!of_name(&trail, name).is_empty(), "{held}");
            Ok(())
        });
        found.await.with_context(|| format!("waiting for {name}"))?;
        self.caught_up().await?;
        self.trail(correlation).await
    }

    /// Every record of a topic, each partition's in order. A broker that is busy,
    /// or on its way back, is waited for.
    ///
    /// # Errors
    /// When the log cannot be read in time.
    pub async fn topic(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        eventually(PATIENCE, || self.read(topic)).await
    }

    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        let ends = self.admin.high_watermarks(topic).await?;
        let starts = ends.into_iter().map(|(partition, _)| (partition, 0));
        let mut reader = PartitionReader::open(&self.settings.kafka, topic, starts)?;
        Ok(reader.read_to_end().await?)
    }

    /// The records of one delivery on a topic, duplicates included.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn on_log(
        &self,
        topic: &str,
        correlation: CorrelationId,
    ) -> anyhow::Result<Vec<Record>> {
        let correlation = correlation.to_string();
        let mut records = self.topic(topic).await?;
        records.retain(|record| record.header("mesh-correlation") == Some(&correlation));
        Ok(records)
    }

    /// How many events of this name one delivery led to, by the log itself: a
    /// record that was appended twice is one event.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn count(
        &self,
        topic: &str,
        correlation: CorrelationId,
        name: &str,
    ) -> anyhow::Result<usize> {
        let counts = self.counts(topic, name).await?;
        Ok(counts.get(&correlation.to_string()).copied().unwrap_or(0))
    }

    /// The same for every delivery, by correlation id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn counts(&self, topic: &str, name: &str) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut events = BTreeSet::new();
        let mut counts = BTreeMap::new();
        for record in self.topic(topic).await? {
            let id = record.header("ce_id").context("a record without an id")?;
            if record.event_name()? == name && events.insert(id.to_owned()) {
                let correlation = record.header("mesh-correlation").unwrap_or_default();
                *counts.entry(correlation.to_owned()).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Waits until the log itself holds an event of this name.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn logged(
        &self,
        topic: &str,
        correlation: CorrelationId,
        name: &str,
    ) -> anyhow::Result<()> {
        let found = eventually(PATIENCE, || async {
            let count = self.count(topic, correlation, name).await?;
            ensure!(count > 0, "none yet");
            Ok(())
        });
        found.await.with_context(|| format!("waiting for {name}"))
    }

    /// # Errors
    /// When Postgres refuses the query.
    pub async fn rows(
        &self,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        Ok(self.pool.get().await?.query(query, parameters).await?)
    }

    /// The value of a key in Redis and how long it has to live.
    ///
    /// # Errors
    /// When the key is not there, or lives for ever.
    pub async fn cached(&self, name: &str) -> anyhow::Result<(Vec<u8>, Duration)> {
        let value = self.redis.get(name).await?;
        let value = value.with_context(|| format!("no key {name}"))?;
        let left: i64 = self
            .redis
            .eval(&TTL, &[name.to_owned()], Vec::new())
            .await?;
        let left = u64::try_from(left).with_context(|| format!("{name} never expires"))?;
        Ok((value, Duration::from_millis(left)))
    }

    /// Drops every schema of Postgres that holds a read model, all keys in Redis
    /// and the files of the vector index. Returns how many of each there were.
    ///
    /// # Errors
    /// When one of them cannot be removed.
    pub async fn forget_everything(&self, schemas: &[&str]) -> anyhow::Result<(u64, usize)> {
        let client = self.pool.get().await?;
        for schema in schemas {
            client
                .batch_execute(&format!("DROP SCHEMA \"{schema}\" CASCADE"))
                .await
                .with_context(|| format!("schema {schema}"))?;
        }
        let keys = self.redis.scan("").await?;
        let forgotten = self.redis.delete(&keys).await?;
        let vectors = self.settings.data_dir.join("vectors");
        let files = std::fs::read_dir(&vectors)?.count();
        std::fs::remove_dir_all(&vectors)?;
        Ok((forgotten, files))
    }
}

/// The names of the events, in order.
pub fn names(trail: &[Entry]) -> Vec<&str> {
    trail.iter().map(|entry| entry.name.as_str()).collect()
}

/// The events of one name, in order.
pub fn of_name<'a>(trail: &'a [Entry], name: &str) -> Vec<&'a Entry> {
    trail.iter().filter(|entry| entry.name == name).collect()
}
