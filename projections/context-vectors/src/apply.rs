use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use domain_context::ContextEvent;
use domain_kernel::Recorded;
use platform_config::Settings;
use platform_embed::Embedder;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_projector::{Failure, StoreProjection};
use tokio::sync::Mutex;

use crate::follow::Follower;
use crate::{Change, Error, PartitionIndex, TOPIC, file, project};

/// The files of the indexes as a read model: to build them again from the log
/// and to compare them. The federation role does not run this one; it keeps
/// the same files up to date by [`crate::Indexes`]. Either may replace a file of
/// the other: each is a fold of the log up to the offset that stands in it.
pub struct ContextVectors {
    directory: PathBuf,
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
        Self {
            directory: settings.data_dir.join("vectors"),
            follower: Follower {
                kafka: settings.kafka.clone(),
                decoder: Decoder::new(registry),
                embedder: embedder.clone(),
            },
            embedder,
            open: Mutex::default(),
        }
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
        for partition in file::partitions(&self.directory).map_err(Failure::transient)? {
            file::remove(&self.directory, partition).map_err(Failure::transient)?;
        }
        Ok(())
    }

    async fn entries(&self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for partition in file::partitions(&self.directory).map_err(Failure::transient)? {
            let known = file::load(&self.directory, partition, self.embedder.as_ref());
            // A file that is damaged vouches for nothing.
            let Some(mut index) = known else { continue };
            // One that is whole may be a little behind: it is written now and then.
            self.follower
                .catch_up(partition, &mut index)
                .await
                .map_err(Failure::transient)?;
            lines.extend(self.lines(&index).map_err(Failure::transient)?);
        }
        Ok(lines)
    }
}
