use std::collections::BTreeMap;

use crate::{Finding, Workspace};

/// How a runner is named in the code.
const NAME: &str = "const NAME: &'static str = \"";

/// No two projections, processes or executors have the same name: it is their
/// Postgres schema and their consumer group.
pub fn runners(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for layer in ["projections", "services"] {
        for file in workspace.below(layer) {
            if !file.path.contains("/src/") || !file.path.ends_with(".rs") {
                continue;
            }
            for name in names(&file.text) {
                // A hyphen becomes an underscore in the schema's name.
                let schema = name.replace('-', "_");
                if let Some(other) = seen.get(&schema) {
                    let problem = format!("is called {name}, as in {other}");
                    findings.push(Finding::new(&file.path, problem));
                } else {
                    seen.insert(schema, &file.path);
                }
            }
        }
    }
    findings
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix(NAME)?;
        rest.strip_suffix("\";")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::file;

    #[test]
    fn two_runners_of_one_name_are_found() {
        let named = |name| format!("impl X for Y {{\n    {NAME}{name}\";\n}}\n");
        let mut workspace = Workspace::default();
        let files = &mut workspace.files;
        files.push(file("projections/agents/src/lib.rs", &named("agents")));
        files.push(file(
            "services/agents/src/executor.rs",
            &named("agent-runs"),
        ));
        assert_eq!(runners(&workspace), []);

        workspace.files[1].text = named("agents");
        assert_eq!(
            runners(&workspace),
            [Finding::new(
                "services/agents/src/executor.rs",
                "is called agents, as in projections/agents/src/lib.rs"
            )]
        );
    }
}
