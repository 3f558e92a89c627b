//! Reading the model from a checkout.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::{Dependency, Package, Workspace, WorkspaceFile};

/// Reads the manifests of the workspace at `root` with cargo, and the files
/// that git knows or would add.
///
/// # Errors
/// When cargo or git refuses.
pub fn load(root: &Path) -> anyhow::Result<Workspace> {
    Ok(Workspace {
        packages: packages(root)?,
        files: files(root)?,
    })
}

fn packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .context("cargo metadata failed")?;
    let root = metadata.workspace_root.clone();
    let folder = |path: &cargo_metadata::camino::Utf8Path| {
        path.strip_prefix(&root)
            .map(|path| path.as_str().to_owned())
            .ok()
    };
    let mut packages = Vec::new();
    for package in &metadata.packages {
        let manifest_dir = package.manifest_path.parent().context("no folder")?;
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            folder: dependency.path.as_deref().and_then(folder),
            dev: dependency.kind != DependencyKind::Normal,
        });
        packages.push(Package {
            name: package.name.to_string(),
            folder: folder(manifest_dir).context("a member lies outside the workspace")?,
            dependencies: dependencies.collect(),
        });
    }
    Ok(packages)
}

fn files(root: &Path) -> anyhow::Result<Vec<WorkspaceFile>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("git cannot be started")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut files = Vec::new();
    for path in String::from_utf8(output.stdout)?.split_terminator('\0') {
        // A file may be deleted and not yet committed so.
        if let Ok(bytes) = std::fs::read(root.join(path)) {
            files.push(WorkspaceFile {
                path: path.to_owned(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}
