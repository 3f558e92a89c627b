use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use domain_kernel::{ContextId, EventId};
use platform_embed::Embedder;
use platform_vectors::VectorIndex;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::{Entry, Error, PartitionIndex};

/// What stands in a file beside the vectors.
#[derive(Serialize, Deserialize)]
struct Description {
    model_digest: String,
    next_offset: i64,
    entries: Vec<Entry>,
    merged: Vec<(ContextId, ContextId)>,
    placed: VecDeque<(EventId, ContextId)>,
}

/// The file of one partition.
pub(crate) fn path(directory: &Path, partition: i32) -> PathBuf {
    directory.join(format!("{partition}.usearch"))
}

/// The partitions that have a file.
pub(crate) fn partitions(directory: &Path) -> Result<Vec<i32>, Error> {
    let unlisted = |source| Error::Directory {
        path: directory.to_owned(),
        source,
    };
    let files = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(unlisted)?,
    };
    let mut partitions = Vec::new();
    for file in files {
        let name = file.map_err(unlisted)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".usearch"));
        partitions.extend(number.and_then(|number| number.parse::<i32>().ok()));
    }
    partitions.sort_unstable();
    Ok(partitions)
}

/// Writes an index, replacing the file as one step.
pub(crate) fn save(
    index: &mut PartitionIndex,
    directory: &Path,
    partition: i32,
    embedder: &dyn Embedder,
) -> Result<(), Error> {
    let mut merged: Vec<_> = index.merged.iter().map(|(k, v)| (*k, *v)).collect();
    merged.sort_unstable();
    let placed = index
        .placed_order
        .iter()
        .filter_map(|delivery| Some((*delivery, index.placed(*delivery)?)))
        .collect();
    let description = Description {
        model_digest: embedder.model_digest().to_owned(),
        next_offset: index.next_offset,
        entries: index.entries.clone(),
        merged,
        placed,
    };
    let description = serde_json::to_vec(&description).map_err(Error::Describe)?;
    index
        .vectors
        .save(&path(directory, partition), &description)?;
    Ok(())
}

/// Reads an index; none when there is no file, or not a whole one, or one of
/// another model. Whatever is missing is on the log.
pub(crate) fn load(
    directory: &Path,
    partition: i32,
    embedder: &dyn Embedder,
) -> Option<PartitionIndex> {
    let path = path(directory, partition);
    let (vectors, description) = match VectorIndex::load(&path, embedder.dimensions()) {
        Ok(loaded) => loaded,
        Err(error) if error.is_missing() => return None,
        Err(error) => {
            warn!(file.path = %path.display(), %error, "vector file is not usable and is built again from the log");
            metrics::counter!("agentmesh_context_vectors_files_rejected_total").increment(1);
            return None;
        }
    };
    let description: Description = match serde_json::from_slice(&description) {
        Ok(description) => description,
        Err(error) => {
            warn!(file.path = %path.display(), %error, "vector file is of another version and is built again from the log");
            return None;
        }
    };
    if description.model_digest != embedder.model_digest() {
        info!(file.path = %path.display(), "vector file is of another model and is built again from the log");
        return None;
    }
    let mut index = PartitionIndex::over(vectors, description.entries);
    index.merged = description.merged.into_iter().collect();
    for (delivery, context_id) in description.placed {
        index.place(delivery, context_id);
    }
    index.next_offset = description.next_offset;
    Some(index)
}

/// Removes the file of a partition, if there is one.
pub(crate) fn remove(directory: &Path, partition: i32) -> Result<(), Error> {
    let path = path(directory, partition);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::Directory {
            path,
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Beside the files: tells whoever holds indexes in memory that the files were
/// replaced by ones made anew from the log.
const RENEWED: &str = "renewed";

/// Puts the files of `shadow` in the place of those of `live`, one partition
/// after another: each is a fold of its own partition. Files of partitions the
/// shadow has none of are removed.
pub(crate) fn replace(live: &Path, shadow: &Path) -> Result<(), Error> {
    let failed = |source| Error::Directory {
        path: live.to_owned(),
        source,
    };
    std::fs::create_dir_all(live).map_err(failed)?;
    // Once before, so that nobody who does not know of it writes over a new
    // file; once after, so that nobody rests with what was read in between.
    count_renewal(live).map_err(failed)?;
    let built = partitions(shadow)?;
    for partition in &built {
        std::fs::rename(path(shadow, *partition), path(live, *partition)).map_err(failed)?;
    }
    for partition in partitions(live)? {
        if !built.contains(&partition) {
            remove(live, partition)?;
        }
    }
    count_renewal(live).map_err(failed)?;
    // Renames are durable only once the directory is.
    std::fs::File::open(live)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)?;
    forget(shadow)
}

fn count_renewal(live: &Path) -> std::io::Result<()> {
    let beside = live.join(format!("{RENEWED}.part"));
    std::fs::write(&beside, (renewals(live) + 1).to_string())?;
    std::fs::rename(beside, live.join(RENEWED))
}

/// A number that grows while the files are replaced by ones made anew.
pub(crate) fn renewals(directory: &Path) -> u64 {
    std::fs::read_to_string(directory.join(RENEWED))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Removes the directory of a shadow.
pub(crate) fn forget(shadow: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(shadow) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Directory {
            path: shadow.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
