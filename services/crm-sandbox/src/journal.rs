//! The sandbox's memory: one JSON line a change, synced before the change is
//! answered. A line torn by a kill is cut off at the next start: it was never
//! answered.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::model::{CrmRecord, PropertyDefinition};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum Change {
    Property {
        object: String,
        definition: PropertyDefinition,
    },
    Record {
        object: String,
        record: CrmRecord,
    },
}

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal in `directory` and reads what it holds.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Vec<Change>), Error> {
        let path = directory.join("journal.jsonl");
        let failed = |source| Error::Journal {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(failed)?;
        let (changes, whole) = read(&file, &path)?;
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok((Self { file, path }, changes))
    }

    /// Appends `changes` together; when this fails none of them counts.
    pub(crate) fn append(&mut self, changes: &[Change]) -> Result<(), Error> {
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = self.write(changes);
        if let (Err(_), Ok(length)) = (&written, before) {
            // Half a batch must not come back at the next start.
            if let Err(error) = self.file.set_len(length) {
                tracing::error!(error = %error, "the journal could not be cut back");
            }
        }
        written.map_err(|source| Error::Journal {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&mut self, changes: &[Change]) -> std::io::Result<()> {
        let mut lines = Vec::new();
        for change in changes {
            serde_json::to_writer(&mut lines, change)?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines)?;
        self.file.sync_data()
    }
}

/// The changes in the file, and how many bytes of it are whole lines.
fn read(file: &File, path: &Path) -> Result<(Vec<Change>, u64), Error> {
    let mut reader = BufReader::new(file);
    let mut changes = Vec::new();
    let mut whole = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader
            .read_until(b'\n', &mut line)
            .map_err(|source| Error::Journal {
                path: path.to_owned(),
                source,
            })?;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok((changes, whole));
        }
        let change = serde_json::from_slice(&line).map_err(|source| Error::Corrupt {
            path: path.to_owned(),
            line: changes.len() + 1,
            source,
        })?;
        changes.push(change);
        whole += length as u64;
    }
}
