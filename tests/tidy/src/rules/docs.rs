use crate::{Finding, Workspace};

const REQUIRED: [&str; 3] = ["README.md", "docs/ARCHITECTURE.md", "docs/DEPENDENCIES.md"];

/// The documents a stranger needs are there and are not empty.
pub fn docs(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in REQUIRED {
        match workspace.file(path) {
            None => findings.push(Finding::new(path, "is missing")),
            Some(file) if file.text.trim().is_empty() => {
                findings.push(Finding::new(path, "is empty"));
            }
            Some(_) => {}
        }
    }
    if !workspace
        .below("docs/adr")
        .any(|file| file.path.ends_with(".md"))
    {
        findings.push(Finding::new("docs/adr", "holds no decision record"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::file;

    #[test]
    fn missing_and_empty_documents_are_found() {
        let mut workspace = Workspace::default();
        assert_eq!(docs(&workspace).len(), 4);
        for path in REQUIRED {
            workspace.files.push(file(path, "# Title\n"));
        }
        workspace
            .files
            .push(file("docs/adr/0001-log.md", "# Log\n"));
        assert_eq!(docs(&workspace), []);
        workspace.files[0].text.clear();
        assert_eq!(docs(&workspace).len(), 1);
    }
}
