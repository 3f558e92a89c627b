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

/// The traits by which something becomes a runner with a schema of its own, and
/// what brings that schema up to date.
const MIGRATED_BY: [(&str, &str); 4] = [
    ("PgProjection", "migrate_projection(&{}::"),
    ("StoreProjection", "migrate_store::<{}>"),
    ("Process", "migrate_process::<{}>"),
    ("Executor", "migrate_executor::<{}>"),
];

/// The command that calls the services' migrations.
const COMMAND: &str = "services/cli/src/command/migrate.rs";

/// `agentmesh migrate` brings the schema of every runner up to date: some service
/// migrates it, and the command calls that service.
pub fn migrations(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let command = workspace
        .file(COMMAND)
        .map_or("", |file| file.text.as_str());
    for layer in ["projections", "services"] {
        for file in workspace.below(layer) {
            if !file.path.contains("/src/") || !file.path.ends_with(".rs") {
                continue;
            }
            for (runner, call) in runners_of(&file.text) {
                let caller = workspace
                    .below("services")
                    .filter(|service| service.path.contains("/src/"))
                    .find(|service| without_spaces(&service.text).contains(&call));
                let problem = match caller.and_then(|file| file.path.split('/').nth(1)) {
                    None => format!("no service migrates {runner}"),
                    Some(service)
                        if !command
                            .contains(&format!("services_{}::migrate(", underscored(service))) =>
                    {
                        format!("{COMMAND} does not migrate {runner}, as services/{service} can")
                    }
                    Some(_) => continue,
                };
                findings.push(Finding::new(&file.path, problem));
            }
        }
    }
    findings
}

/// The types that a file makes runners, with the call that migrates each.
fn runners_of(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("impl ")?.split_once(" for ")?;
        let (_, call) = MIGRATED_BY.iter().find(|(known, _)| *known == name)?;
        let runner = rest.split([' ', '<']).next()?;
        Some((runner, call.replace("{}", runner)))
    })
}

fn without_spaces(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
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

    #[test]
    fn a_runner_that_nobody_migrates_is_found() {
        let mut workspace = Workspace::default();
        let files = &mut workspace.files;
        let process = "services/workflow/src/process.rs";
        files.push(file(process, "impl Process for Sagas {\n}\n"));
        files.push(file("services/workflow/src/lib.rs", ""));
        files.push(file(COMMAND, ""));
        let unmigrated = Finding::new(process, "no service migrates Sagas");
        assert_eq!(migrations(&workspace), [unmigrated]);

        workspace.files[1].text = "migrate_process::<\n    Sagas\n>(&pool)".to_owned();
        let uncalled = format!("{COMMAND} does not migrate Sagas, as services/workflow can");
        assert_eq!(migrations(&workspace), [Finding::new(process, uncalled)]);

        workspace.files[2].text = "services_workflow::migrate(settings)".to_owned();
        assert_eq!(migrations(&workspace), []);
    }
}
