use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A read model that can be rebuilt on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadModel {
    Deliveries,
    Decisions,
    Contexts,
    Executions,
    Workflows,
    Effects,
    Agents,
    Audit,
    ContextCache,
    ContextVectors,
}

impl ReadModel {
    pub const ALL: [Self; 10] = [
        Self::Deliveries,
        Self::Decisions,
        Self::Contexts,
        Self::Executions,
        Self::Workflows,
        Self::Effects,
        Self::Agents,
        Self::Audit,
        Self::ContextCache,
        Self::ContextVectors,
    ];

    /// As the folder under `projections/` is named.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Decisions => "decisions",
            Self::Contexts => "contexts",
            Self::Executions => "executions",
            Self::Workflows => "workflows",
            Self::Effects => "effects",
            Self::Agents => "agents",
            Self::Audit => "audit",
            Self::ContextCache => "context-cache",
            Self::ContextVectors => "context-vectors",
        }
    }
}

impl fmt::Display for ReadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ReadModel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| Error::UnknownReadModel {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for which in ReadModel::ALL {
            assert_eq!(which.name().parse::<ReadModel>().ok(), Some(which));
        }
        let error = "nope".parse::<ReadModel>().unwrap_err();
        assert!(error.to_string().contains("context-cache"));
    }

    /// Nobody adds a read model and forgets to make it rebuildable. The view of
    /// the registry is in memory: whoever starts builds it.
    #[test]
    fn every_folder_of_projections_is_here() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../projections");
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("Cargo.toml").exists())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != "registry-view")
            .collect();
        let mut known: Vec<_> = ReadModel::ALL.map(|which| which.name().to_owned()).into();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}
