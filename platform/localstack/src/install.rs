//! Where the programs are.

use std::path::{Path, PathBuf};

use crate::Error;

/// Java as `deploy/local/install.sh` found or fetched it.
pub(crate) fn java(libs_dir: &Path) -> Result<PathBuf, Error> {
    present(libs_dir.join("java/bin/java"), "a Java runtime")
}

pub(crate) fn kafka_jars(libs_dir: &Path) -> Result<PathBuf, Error> {
    present(libs_dir.join("kafka/libs"), "Kafka")
}

pub(crate) fn apicurio(libs_dir: &Path) -> Result<PathBuf, Error> {
    let home = present(libs_dir.join("apicurio"), "the schema registry")?;
    present(home.join("quarkus-run.jar"), "the schema registry").map(|_| home)
}

/// A program of Postgres, which Debian keeps off the PATH.
pub(crate) fn postgres_program(name: &str) -> Result<PathBuf, Error> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    // The newest first; all programs of one stack must be of one version.
    versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
    versions
        .iter()
        .map(|version| version.join("bin").join(name))
        .find(|program| program.is_file())
        .map_or_else(|| on_path(name), Ok)
}

pub(crate) fn on_path(name: &str) -> Result<PathBuf, Error> {
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::NotInstalled {
            what: name.to_owned(),
        })
}

fn version(path: &Path) -> u32 {
    path.file_name()
        .and_then(|name| name.to_str()?.parse().ok())
        .unwrap_or(0)
}

fn present(path: PathBuf, what: &str) -> Result<PathBuf, Error> {
    if path.exists() {
        Ok(path)
    } else {
        Err(Error::NotInstalled {
            what: format!("{what} ({})", path.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let error = java(Path::new("/nowhere")).unwrap_err().to_string();
        assert_eq!(
            error,
            "a Java runtime (/nowhere/java/bin/java) is missing; run deploy/local/install.sh"
        );
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh").is_ok());
        assert!(on_path("no-such-program").is_err());
    }
}
