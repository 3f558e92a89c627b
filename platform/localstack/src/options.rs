use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Given;

/// How a stack is started.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Where data, logs and `stack.json` live.
    pub data_dir: PathBuf,
    /// Where `deploy/local/install.sh` put Kafka, the registry and Java.
    pub libs_dir: PathBuf,
    pub ports: Ports,
    /// Whether the data outlives the stack. Without it the directory is removed
    /// by `stop`, and before the start what a killed stack left in it.
    pub keep: bool,
    pub durability: Durability,
    /// How many nodes Kafka has, each of them broker and controller: from 1 to
    /// 3. With 3, what is acknowledged is on two of them.
    pub kafka_nodes: usize,
    /// The ports where clients are told to find the nodes, for whoever puts
    /// something in between. Empty: where they listen.
    pub kafka_advertised: Vec<u16>,
    pub given: Given,
    /// How long each server may take until it answers.
    pub start_timeout: Duration,
}

impl StackOptions {
    /// A stack that keeps its data in `data_dir`, takes the standard ports
    /// where they are free, and uses what the environment gives.
    pub fn new(data_dir: impl Into<PathBuf>, libs_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            libs_dir: libs_dir.into(),
            ports: Ports::Standard,
            keep: true,
            durability: Durability::Full,
            kafka_nodes: 1,
            kafka_advertised: Vec::new(),
            given: Given::from_env(),
            start_timeout: Duration::from_secs(180),
        }
    }
}

/// Which ports the servers listen on. All of them listen on loopback only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// The usual port of each server, or a free one where that is taken.
    Standard,
    /// Free ports, whatever they are.
    Free,
    /// These, or an error. Zero stands for any free port.
    Given {
        kafka: u16,
        schema_registry: u16,
        postgres: u16,
        redis: u16,
    },
}

/// What a power cut may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What was acknowledged is on disk.
    Full,
    /// Postgres does not wait for the disk. For tests: they kill processes,
    /// never the machine, and what the kernel holds survives that.
    ProcessCrash,
}

/// `$AGENTMESH_LIB`, or `.agentmesh/lib` in the nearest directory from `start`
/// upwards that has one, or `.agentmesh/lib` in `start`.
pub fn default_libs_dir(start: &Path) -> PathBuf {
    if let Some(dir) = std::env::var_os("AGENTMESH_LIB").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    let nearest = start
        .ancestors()
        .map(|dir| dir.join(".agentmesh/lib"))
        .find(|dir| dir.is_dir());
    nearest.unwrap_or_else(|| start.join(".agentmesh/lib"))
}
