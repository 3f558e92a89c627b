use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use platform_config::{Kafka, Settings};
use platform_embed::Embedder;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_projector::{Content, Failure, ShadowStore, StoreProjection};
use tokio::sync::Mutex;

use crate::follow::Follower;
use crate::{Change, Error, PartitionIndex, TOPIC, file, project};

/// The files of the indexes as a read model: to build them again from the log
/// and to compare them. The federation role does not run this one; it keeps
/// the same files up to date by [`crate::Indexes`]. Either may replace a file of
/// the other: each is a fold of the log up to the offset that stands in it.
pub struct ContextVectors {
    directory: PathBuf,
    /// Whether these are the files that serve, so that the log may be read on
    /// beyond them; a shadow ends where it was told to.
    live: bool,
    kafka: Kafka,
    registry: SchemaRegistry,
    embedder: Arc<dyn Embedder>,
    follower: Follower,
    open: Mutex<HashMap<i32, PartitionIndex>>,
}

impl std::fmt::Debug for ContextVectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextVectors")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl ContextVectors {
    pub fn new(settings: &Settings, registry: SchemaRegistry, embedder: Arc<dyn Embedder>) -> Self {
        let directory = settings.data_dir.join("vectors");
        Self::at(directory, true, settings.kafka.clone(), registry, embedder)
    }

    fn at(
        directory: PathBuf,
        live: bool,
        kafka: Kafka,
        registry: SchemaRegistry,
        embedder: Arc<dyn Embedder>,
    ) -> Self {
        Self {
            directory,
            live,
            follower: Follower {
                kafka: kafka.clone(),
                decoder: Decoder::new(registry.clone()),
                embedder: embedder.clone(),
            },
            kafka,
            registry,
            embedder,
            open: Mutex::default(),
        }
    }

    /// The indexes that have files, by partition.
    async fn indexes(&self) -> Result<Vec<(i32, PartitionIndex)>, Failure> {
        let mut indexes = Vec::new();
        for partition in file::partitions(&self.directory).map_err(Failure::transient)? {
            let known = file::load(&self.directory, partition, self.embedder.as_ref());
            // A file that is damaged vouches for nothing.
            let Some(mut index) = known else { continue };
            if self.live {
                // One that is whole may be a little behind: it is written now and then.
                self.follower
                    .catch_up(partition, &mut index)
                    .await
                    .map_err(Failure::transient)?;
            }
            indexes.push((partition, index));
        }
        Ok(indexes)
    }

    fn load(&self, partition: i32) -> Result<PartitionIndex, Error> {
        match file::load(&self.directory, partition, self.embedder.as_ref()) {
            Some(index) => Ok(index),
            None => PartitionIndex::new(self.embedder.dimensions()),
        }
    }

    /// One line a context and one a merged content.
    fn lines(&self, index: &PartitionIndex) -> Result<Vec<String>, Error> {
        let mut lines = Vec::with_capacity(index.len() + index.merged.len());
        for (key, entry) in index.entries.iter().enumerate() {
            let known = serde_json::to_string(entry).map_err(Error::Describe)?;
            let vector = index.vectors.vector(key as u64).unwrap_or_default();
            let bits: Vec<u32> = vector.iter().map(|x| x.to_bits()).collect();
            lines.push(format!("context {known} {bits:?}"));
        }
        for (instead_of, into) in &index.merged {
            lines.push(format!("merged {instead_of} {into}"));
        }
        Ok(lines)
    }
}

impl StoreProjection for ContextVectors {
    const NAME: &'static str = "context-vectors";
    type Event = ContextEvent;
    type Change = Change;

    fn topics(&self) -> Vec<&'static str> {
        vec![TOPIC]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<ContextEvent>>, DecodeError> {
        Ok(vec![self.follower.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<ContextEvent>, position: &Position) -> Vec<Change> {
        project(recorded, position)
    }

    async fn positions(&self, partition: i32) -> Result<Vec<(String, i64)>, Failure> {
        let index = self.load(partition).map_err(Failure::transient)?;
        let next_offset = index.next_offset();
        self.open.lock().await.insert(partition, index);
        Ok(vec![(TOPIC.to_owned(), next_offset)])
    }

    async fn apply(
        &self,
        partition: i32,
        changes: Vec<Change>,
        upto: &[(String, i64)],
        _generation: i64,
    ) -> Result<(), Failure> {
        let mut open = self.open.lock().await;
        let mut index = match open.remove(&partition) {
            Some(index) => index,
            None => self.load(partition).map_err(Failure::transient)?,
        };
        for change in changes {
            index
                .fold(change, self.embedder.as_ref())
                .map_err(Failure::poison)?;
        }
        for (_, next_offset) in upto {
            index.skip(next_offset - 1);
        }
        file::save(
            &mut index,
            &self.directory,
            partition,
            self.embedder.as_ref(),
        )
        .map_err(Failure::transient)?;
        open.insert(partition, index);
        Ok(())
    }

    async fn clear(&self) -> Result<(), Failure> {
        let mut open = self.open.lock().await;
        open.clear();
        if !self.live {
            return file::forget(&self.directory).map_err(Failure::transient);
        }
        for partition in file::partitions(&self.directory).map_err(Failure::transient)? {
            file::remove(&self.directory, partition).map_err(Failure::transient)?;
        }
        Ok(())
    }

    async fn entries(&self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for (_, index) in self.indexes().await? {
            lines.extend(self.lines(&index).map_err(Failure::transient)?);
        }
        Ok(lines)
    }

    async fn content(&self, partitions: u32) -> Result<Content, Failure> {
        let mut content = Content {
            // Each index is a fold up to its own offset, whatever is written meanwhile.
            settled: true,
            ..Content::default()
        };
        let mut indexes: HashMap<i32, PartitionIndex> = self.indexes().await?.into_iter().collect();
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let next_offset = match indexes.remove(&partition) {
                None => 0,
                Some(index) => {
                    let lines = self.lines(&index).map_err(Failure::transient)?;
                    let lines = lines.into_iter().map(|line| (Some(partition), line));
                    content.entries.extend(lines);
                    index.next_offset()
                }
            };
            let offsets = vec![(TOPIC.to_owned(), next_offset)];
            content.offsets.push((partition, offsets));
        }
        Ok(content)
    }
}

impl ShadowStore for ContextVectors {
    /// It has no runner of its own: federation writes it while it decides.
    const GIVEN_UP_BY: &'static str = "federation";

    fn beside(&self, name: &str) -> Self {
        Self::at(
            self.directory.join(format!("beside-{name}")),
            false,
            self.kafka.clone(),
            self.registry.clone(),
            self.embedder.clone(),
        )
    }

    /// The owner generation is not needed: whatever replaces a file is a fold of
    /// the same log. Who holds the indexes in memory takes the new files in.
    async fn replace_with(
        &self,
        shadow: &Self,
        _generations: &[(i32, i64)],
    ) -> Result<(), Failure> {
        self.open.lock().await.clear();
        shadow.open.lock().await.clear();
        file::replace(&self.directory, &shadow.directory).map_err(Failure::transient)
    }
}
