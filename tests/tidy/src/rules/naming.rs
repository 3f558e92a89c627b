use crate::{Finding, Workspace};

/// A package is called after its folder, `platform/log` → `platform-log`, so
/// that a `use` line shows the layer. Every manifest takes the shared lints.
pub fn naming(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let wanted = package.folder.replace('/', "-");
        if package.name != wanted {
            let problem = format!("is called {}, should be {wanted}", package.name);
            findings.push(Finding::new(package.manifest(), problem));
        }
        let text = workspace
            .file(&package.manifest())
            .map_or("", |file| file.text.as_str());
        if !text.contains("[lints]\nworkspace = true") {
            findings.push(Finding::new(
                package.manifest(),
                "does not take the workspace's lints",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::{file, package, packages};

    #[test]
    fn a_wrong_name_and_missing_lints_are_found() {
        let mut workspace = packages(vec![package("platform/log", &[])]);
        workspace.files.push(file(
            "platform/log/Cargo.toml",
            "[package]\n[lints]\nworkspace = true\n",
        ));
        assert_eq!(naming(&workspace), []);

        workspace.packages[0].name = "log".to_owned();
        workspace.files[0].text = "[package]\n".to_owned();
        assert_eq!(naming(&workspace).len(), 2);
    }
}
