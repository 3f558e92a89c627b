//! The servers under the benchmarks, started by themselves on free ports, and a
//! fresh place on them for each row.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use platform_config::{Secret, Settings};
use platform_localstack::{
    Durability, Endpoints, Given, Ports, Stack, StackOptions, default_libs_dir, execute_sql,
    free_port,
};
use platform_log::{Admin, Encoder, Producer, SchemaRegistry, TopicSpec, subject};
use platform_postgres::Pool;
use platform_projector::{Deps, ReadinessSink};
use platform_redis::Redis;
use schemas::{KeyKind, TOPICS, catalogue};

/// 32 bytes in base64: secrets of the benchmarks are no secrets.
pub(crate) const VAULT_KEY: &str = "YmVuY2gta2V5LWJlbmNoLWtleS1iZW5jaC1rZXktYmU=";
const PARTITIONS: u32 = 3;
const PATIENCE_MS: u64 = 60_000;

/// The root of this checkout.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The servers, which live as long as the run.
#[derive(Debug)]
pub(crate) struct Servers {
    stack: Stack,
    data: PathBuf,
}

impl Servers {
    /// Starts them. Nothing is shared with the tests or with `agentmesh dev`, and
    /// Postgres waits for the disk, as it would in earnest.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let root = workspace();
        let data = root.join("target/bench/stack");
        if let Some(left) = Stack::attach(&data).await? {
            left.stop().await?;
        }
        let options = StackOptions {
            ports: Ports::Free,
            keep: false,
            durability: Durability::Full,
            given: Given::default(),
            ..StackOptions::new(&data, default_libs_dir(&root))
        };
        let stack = Stack::start(options)
            .await
            .context("the servers cannot be started (deploy/local/install.sh installs them)")?;
        Ok(Self { stack, data })
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        self.stack.endpoints()
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        Ok(self.stack.stop().await?)
    }

    /// A place of its own: database, topics, keys, directory.
    pub(crate) async fn bed(&self, name: &str) -> anyhow::Result<Bed> {
        let endpoints = self.endpoints();
        let id = format!("bench_{name}");
        let url = endpoints.database_url.clone();
        let statement = format!("CREATE DATABASE \"{id}\"");
        let create = move || execute_sql(&url, &statement);
        tokio::task::spawn_blocking(create)
            .await?
            .with_context(|| format!("database {id} cannot be created"))?;
        let mut settings = Settings::defaults()?;
        endpoints.apply(&mut settings);
        settings.postgres.url = with_database(&endpoints.database_url, &id);
        settings.kafka.topic_prefix = format!("{id}.");
        settings.kafka.partitions = PARTITIONS;
        settings.redis.key_prefix = format!("{id}:");
        // What is not measured may take its time.
        settings.schema_registry.timeout_ms = PATIENCE_MS;
        settings.data_dir = self.data.join(&id);
        std::fs::create_dir_all(&settings.data_dir)?;
        settings.secrets.key = Some(Secret::new(VAULT_KEY));
        settings.gateway.listen = ([127, 0, 0, 1], free_port()?).into();
        Bed::new(settings).await
    }
}

/// Where one row is measured.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) settings: Arc<Settings>,
    pub(crate) registry: SchemaRegistry,
    pub(crate) encoder: Encoder,
    pub(crate) producer: Producer,
    pub(crate) pool: Pool,
    pub(crate) admin: Admin,
}

impl Bed {
    async fn new(settings: Settings) -> anyhow::Result<Self> {
        let admin = Admin::new(&settings.kafka)?;
        let topics: Vec<_> = TOPICS
            .iter()
            .map(|(topic, key)| match key {
                KeyKind::Single => TopicSpec::new(*topic, 1),
                _ => TopicSpec::new(*topic, settings.kafka.partitions),
            })
            .collect();
        admin.ensure_topics(&topics).await?;
        let registry = SchemaRegistry::new(&settings.schema_registry)?;
        for entry in catalogue() {
            registry
                .register(&subject(entry.topic, entry.name), entry.text)
                .await?;
        }
        let entries = catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        Ok(Self {
            encoder: Encoder::resolve(&registry, entries).await?,
            producer: Producer::new(&settings.kafka)?,
            pool: Pool::connect(&settings.postgres)?,
            admin,
            registry,
            settings: Arc::new(settings),
        })
    }

    pub(crate) fn deps(&self) -> Deps {
        Deps {
            settings: Arc::clone(&self.settings),
            pool: self.pool.clone(),
            producer: self.producer.clone(),
            readiness: ReadinessSink::none(),
        }
    }

    pub(crate) async fn redis(&self) -> anyhow::Result<Redis> {
        Ok(Redis::connect(&self.settings.redis).await?)
    }

    /// How many records stand on a topic.
    pub(crate) async fn records_on(&self, topic: &str) -> anyhow::Result<i64> {
        let ends = self.admin.high_watermarks(topic).await?;
        Ok(ends.iter().map(|(_, end)| end).sum())
    }
}

/// The same server, another database.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    format!("{}/{database}", &url[..end])
}
