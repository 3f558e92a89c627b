//! The file: a header, the caller's metadata, the graph, and the SHA-256 of all
//! of it. Written beside its place, synced, then renamed into it, so that the
//! place holds either the file before or the file after.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};
use usearch::Index;

use crate::{
    Error, VectorIndex,
    index::{empty_graph, graph},
};

/// Says what the file is, and in which version.
const MAGIC: &[u8; 8] = b"AMVECT\x00\x01";
const HEADER: usize = MAGIC.len() + 3 * size_of::<u64>();
const CHECKSUM: usize = 32;

impl VectorIndex {
    /// Writes the index with the caller's `metadata`, replacing the file at
    /// `path` as one step. Moves the tail into the graph first.
    ///
    /// # Errors
    /// When the file cannot be written; the one that was there stays.
    pub fn save(&mut self, path: &Path, metadata: &[u8]) -> Result<(), Error> {
        self.absorb(usize::MAX)?;
        let bytes = self.to_bytes(metadata)?;
        write_in_place(path, &bytes).map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads an index and the metadata it was written with.
    ///
    /// # Errors
    /// When there is no file ([`Error::is_missing`]), or it is not, to the last
    /// byte, what was written, or holds vectors of other dimensions.
    pub fn load(path: &Path, dimensions: usize) -> Result<(Self, Vec<u8>), Error> {
        let bytes = fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let damaged = |why| Error::Damaged {
            path: path.to_owned(),
            why,
        };
        let (content, checksum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or_else(|| damaged("it is too short"))?;
        if Sha256::digest(content).as_slice() != checksum {
            return Err(damaged("its checksum differs"));
        }
        let header = content.get(..HEADER).ok_or_else(|| damaged("no header"))?;
        let (magic, lengths) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(damaged("it is another kind of file"));
        }
        let mut lengths = lengths
            .as_chunks::<8>()
            .0
            .iter()
            .map(|length| usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX));
        let mut length = || lengths.next().unwrap_or(usize::MAX);
        let (stored, metadata_length, graph_length) = (length(), length(), length());
        if stored != dimensions {
            return Err(damaged("its vectors have other dimensions"));
        }
        let body = &content[HEADER..];
        if metadata_length.checked_add(graph_length) != Some(body.len()) {
            return Err(damaged("its parts do not add up"));
        }
        let (metadata, graph) = body.split_at(metadata_length);
        let index = read_graph(dimensions, graph)?;
        Ok((Self::from_graph(dimensions, index), metadata.to_vec()))
    }

    fn to_bytes(&self, metadata: &[u8]) -> Result<Vec<u8>, Error> {
        let graph_length = self.graph().serialized_length();
        let mut bytes = Vec::with_capacity(HEADER + metadata.len() + graph_length + CHECKSUM);
        bytes.extend_from_slice(MAGIC);
        for length in [self.dimensions(), metadata.len(), graph_length] {
            bytes.extend_from_slice(&(length as u64).to_le_bytes());
        }
        bytes.extend_from_slice(metadata);
        let begin = bytes.len();
        bytes.resize(begin + graph_length, 0);
        self.graph()
            .save_to_buffer(&mut bytes[begin..])
            .map_err(|error| graph("save", &error))?;
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        Ok(bytes)
    }
}

fn read_graph(dimensions: usize, bytes: &[u8]) -> Result<Index, Error> {
    let index = empty_graph(dimensions)?;
    index
        .load_from_buffer(bytes)
        .map_err(|error| graph("load", &error))?;
    Ok(index)
}

fn write_in_place(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let beside = unique_beside(path);
    let written = (|| {
        let mut file = fs::File::create_new(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The rename is durable only once the directory is.
        fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // What is left of a failed attempt is of no use to anyone.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A name no other process and no other thread writes to.
fn unique_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{count}.part", std::process::id()));
    path.with_file_name(name)
}
