//! `stack.json`: which processes make up the stack of a directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::Identity;
use crate::{Endpoints, Error};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) endpoints: Endpoints,
    /// Whether the data stays when the stack stops.
    pub(crate) keep: bool,
    /// In the order they were started.
    pub(crate) servers: Vec<ServerState>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServerState {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) identity: Identity,
    pub(crate) log: PathBuf,
}

impl State {
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("stack.json")
    }

    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(data_dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        match serde_json::from_slice(&text) {
            Ok(state) => Ok(Some(state)),
            Err(source) => Err(Error::State { path, source }),
        }
    }

    /// Replaces the file in one step: nobody reads half of it.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), Error> {
        let path = Self::path(data_dir);
        let new = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).map_err(|source| Error::State {
            path: path.clone(),
            source,
        })?;
        std::fs::write(&new, text).map_err(Error::file("write", &new))?;
        std::fs::rename(&new, &path).map_err(Error::file("write", &path))
    }

    pub(crate) fn remove(data_dir: &Path) -> Result<(), Error> {
        let path = Self::path(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}
