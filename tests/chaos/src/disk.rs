//! Small disks of memory that can be filled up, where the system lets us mount
//! them.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const BALLAST: &str = "ballast";

/// A mounted disk. Unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Mounts a disk of so many MiB at `dir`, which is made.
    ///
    /// # Errors
    /// When this user may not mount, or the system refuses.
    pub fn mount(dir: &Path, mebibytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m")])
            .arg("agentmesh-chaos")
            .arg(dir)
            .output()
            .context("mount cannot be run")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Takes all the room there is.
    ///
    /// # Errors
    /// When it fails for another reason than that the disk is full.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join(BALLAST))?;
        for size in [1 << 20, 4096, 1] {
            fill_with(&mut ballast, &vec![0; size])?;
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the ballast cannot be removed.
    pub fn free(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.dir.join(BALLAST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn fill_with(ballast: &mut File, bytes: &[u8]) -> anyhow::Result<()> {
    loop {
        match ballast.write(bytes) {
            Ok(written) if written == bytes.len() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.dir);
    }
}

/// Lazily, because a server may still be about to end.
fn unmount(dir: &Path) {
    let _ = Command::new("umount").arg("-l").arg(dir).status();
}

/// How full the mounted disks are, as `df` says it.
///
/// # Errors
/// When it cannot be run.
pub(crate) fn usage() -> anyhow::Result<Vec<u8>> {
    let output = Command::new("df").args(["-m", "-t", "tmpfs"]).output();
    Ok(output.context("df cannot be run")?.stdout)
}

/// Unmounts whatever a run that was killed left mounted below `dir`.
pub(crate) fn unmount_below(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        if fields.next() == Some("agentmesh-chaos")
            && let Some(mounted) = fields.next().map(Path::new)
            && mounted.starts_with(dir)
        {
            unmount(mounted);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(disk) = Disk::mount(&dir.path().join("disk"), 4) else {
            // Not root, or in a container: the faults that need it are skipped.
            return;
        };
        let file = disk.dir.join("file");
        disk.fill().unwrap();
        assert!(std::fs::write(&file, "words").is_err());
        disk.free().unwrap();
        std::fs::write(&file, "words").unwrap();
    }
}
