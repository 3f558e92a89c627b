//! When everybody has read what there is to read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use platform_postgres::Checkpoints;
use platform_redis::Script;
use platform_testkit::eventually;

use crate::{Observer, PATIENCE};

/// The read models in Postgres, by their schemas.
pub const READ_MODELS: [&str; 8] = [
    "deliveries",
    "decisions",
    "contexts",
    "executions",
    "workflows",
    "effects",
    "agents",
    "audit",
];

/// The schemas of the roles that answer events with events.
const ANSWERING: [&str; 4] = ["federation", "workflow", "agent_runs", "sync"];

/// What the context cache reads.
const CACHED: &str = "mesh.contexts";

/// Where the cache keeps its own position.
const POSITION: Script = Script::new("return redis.call('HGET', KEYS[1], ARGV[1])");

/// The next offset of each partition, by topic.
type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;

impl Observer {
    /// Waits until every read model has taken in what the log holds now,
    /// whatever else is appended in the meantime.
    ///
    /// # Errors
    /// When one does not in time; says which.
    pub async fn caught_up(&self) -> anyhow::Result<()> {
        let claimed = eventually(PATIENCE, || self.positions(&READ_MODELS)).await?;
        let ends = self.all_ends(&claimed).await?;
        let caught_up = eventually(PATIENCE, || async {
            let readers = self.positions(&READ_MODELS).await?;
            readers.iter().try_for_each(|reader| reader.passed(&ends))
        });
        caught_up.await.context("the read models do not catch up")
    }

    /// Waits until everybody stands at the end of the log, those too who append
    /// to it: nothing is under way any more.
    ///
    /// # Errors
    /// When somebody does not in time; says who.
    pub async fn at_rest(&self, patience: Duration) -> anyhow::Result<()> {
        let everybody = [READ_MODELS.as_slice(), &ANSWERING].concat();
        let settled = eventually(patience, || async {
            let readers = self.positions(&everybody).await?;
            let ends = self.all_ends(&readers).await?;
            readers.iter().try_for_each(|reader| reader.passed(&ends))
        });
        settled.await.context("the mesh does not come to rest")
    }

    /// How far each of these has come, and the cache.
    async fn positions(&self, schemas: &[&str]) -> anyhow::Result<Vec<Reader>> {
        let mut readers = Vec::new();
        for schema in schemas {
            let mut offsets = Offsets::new();
            for claimed in Checkpoints::positions(self.pool(), schema).await? {
                let partitions = offsets.entry(claimed.topic).or_default();
                partitions.insert(claimed.partition, claimed.next_offset);
            }
            ensure!(!offsets.is_empty(), "{schema} has claimed nothing yet");
            let name = (*schema).to_owned();
            readers.push(Reader { name, offsets });
        }
        readers.push(self.cache().await?);
        Ok(readers)
    }

    /// How far the context cache has come. Its position is where its keys are,
    /// and gone with them.
    async fn cache(&self) -> anyhow::Result<Reader> {
        let redis = self.redis();
        let live = redis.get("context-cache:live").await?.unwrap_or_default();
        let prefix = match String::from_utf8_lossy(&live).as_ref() {
            "" | "0" => String::new(),
            number => format!("cache{number}:"),
        };
        let mut partitions = BTreeMap::new();
        for partition in self.ends(CACHED).await?.into_keys() {
            let key = format!("{prefix}context-cache:position:{partition}");
            let at: Option<String> = redis
                .eval(&POSITION, &[key], vec![CACHED.as_bytes().to_vec()])
                .await?;
            partitions.insert(partition, at.as_deref().unwrap_or("0").parse()?);
        }
        Ok(Reader {
            name: "the context cache".to_owned(),
            offsets: Offsets::from([(CACHED.to_owned(), partitions)]),
        })
    }

    /// Where the topics end that these read.
    async fn all_ends(&self, readers: &[Reader]) -> anyhow::Result<Offsets> {
        let topics: BTreeSet<_> = readers.iter().flat_map(|one| one.offsets.keys()).collect();
        let mut ends = Offsets::new();
        for topic in topics {
            ends.insert(topic.clone(), self.ends(topic).await?);
        }
        Ok(ends)
    }

    /// Where each partition of a topic ends: the offset of the next record.
    ///
    /// # Errors
    /// When the log does not answer in time.
    pub async fn ends(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let ends = eventually(PATIENCE, || async {
            anyhow::Ok(self.admin().high_watermarks(topic).await?)
        });
        Ok(ends.await?.into_iter().collect())
    }
}

/// Who reads, and how far it has come.
struct Reader {
    name: String,
    offsets: Offsets,
}

impl Reader {
    fn passed(&self, ends: &Offsets) -> anyhow::Result<()> {
        for (topic, at) in &self.offsets {
            for (partition, end) in ends.get(topic).into_iter().flatten() {
                let at = at.get(partition);
                ensure!(
                    at.is_some_and(|at| at >= end),
                    "{} is at {at:?} of {end} in {topic}/{partition}",
                    self.name
                );
            }
        }
        Ok(())
    }
}
